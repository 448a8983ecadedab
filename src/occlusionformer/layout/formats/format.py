"""The interface of a format: reads documents to layouts and writes them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from occlusionformer.layout.limits import DocumentLimits
from occlusionformer.layout.problems import Findings, LayoutError, Path, Problem
from occlusionformer.layout.schema import CyclePolicy, Layout

ListOrder = Literal["back-to-front", "front-to-back", "none"]
"""What the places in a list of boxes say about the order: who comes last is in front, who comes first, or nothing."""


def as_listed(layout: Layout) -> Sequence[int]:
    """The places of instances as they are."""
    return range(len(layout.instances))


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of the caller for what a document does not say."""

    prompt: str | None = None
    width: int | None = None
    height: int | None = None
    cycles: CyclePolicy | None = None
    regions: bool | None = None
    image: str | None = None
    list_order: ListOrder | None = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """A layout format."""

    name: str
    description: str
    """One sentence for a list of formats."""
    from_text: Callable[[str, DocumentLimits], object]
    """The plain value of a text within limits."""
    read: Callable[[object, ReadOptions], list[Layout]]
    """The layouts of a plain value. Raises LayoutError with all problems."""
    write_one: Callable[[Layout], object]
    """The plain value of a layout, without what the format cannot hold."""
    write_all: Callable[[Sequence[Layout]], object]
    """The plain value of any number of layouts."""
    to_text: Callable[[object], str]
    """The text of a plain value."""
    marks: frozenset[str]
    """Fields of a document that tell this format from the others; only for messages, nothing is guessed."""
    options: frozenset[str] = frozenset()
    """The ReadOptions that mean something here."""
    cycles: CyclePolicy = "error"
    """What a layout that was read does about loops, when the caller does not say."""
    order: str
    """How a document states who is in front, for a list of formats."""
    needs: frozenset[str] = frozenset()
    """Fields of a layout that documents of this format never hold: lost in writing, and given by who reads."""
    places: Callable[[Layout], Sequence[int]] = as_listed
    """The order in which instances are written, by their places in the layout: an order of its own in some formats."""

    def check(self, options: ReadOptions) -> None:
        """Raise LayoutError for options that this format does not have; none is ignored."""
        given = [field.name for field in fields(options) if getattr(options, field.name) is not None]
        if wrong := [name for name in given if name not in self.options]:
            raise LayoutError(Problem((name,), f"not an option of the {self.name} format") for name in wrong)


def read_each(
    document: object, read_one: Callable[[object, Path, ReadOptions], Layout], options: ReadOptions
) -> list[Layout]:
    """The layouts of a document that is one, or a list of them; all problems of all of them at once."""
    parts = enumerate(document) if isinstance(document, list | tuple) else [(None, document)]
    layouts: list[Layout] = []
    findings = Findings()
    for place, part in parts:
        try:
            layouts.append(read_one(part, () if place is None else (place,), options))
        except LayoutError as error:
            findings.add(error.details)
    findings.raise_any()
    return layouts
