"""Layouts from what a node is given: boxes of other nodes or a document, words, and an order in one of several ways."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from occlusionformer.layout import Depths, FrontToBack, Layout, LayoutError, Pair, Pairs, ZOrderCycle, read_layouts
from occlusionformer.layout.formats import FORMATS
from occlusionformer.layout.formats.comfy import layouts_of
from occlusionformer.layout.formats.format import ListOrder
from occlusionformer.layout.problems import Findings, Problem, one_of

DECLARED = "as the boxes or the document say"
LAST_IN_FRONT = "list, the last is in front"
FIRST_IN_FRONT = "list, the first is in front"
PAIRS = "relations: cat > dog"
DEPTHS = "relations: cat: 1.5"
NO_ORDER = "no order"

ORDERS: dict[str, ListOrder | None] = {
    DECLARED: None,
    LAST_IN_FRONT: "back-to-front",
    FIRST_IN_FRONT: "front-to-back",
    PAIRS: "none",
    DEPTHS: "none",
    NO_ORDER: "none",
}
"""Ways to say who is in front, and what each makes of the places in a list of boxes."""

LoopPolicy = Literal["as the document says", "error", "allow", "break"]
LOOPS: tuple[LoopPolicy, ...] = ("as the document says", "error", "allow", "break")

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Parse = Callable[[str, "Names", int], Any]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a user adds to boxes or a document; empty texts and 0 leave a field as it is found."""

    prompt: str = ""
    width: int = 0
    height: int = 0
    captions: str = ""
    """One a line, in the order of the list; an empty line leaves a box its own."""
    order: str = DECLARED
    relations: str = ""
    cycles: LoopPolicy = LOOPS[0]

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of a layout that are given."""
        given = {"prompt": self.prompt, "width": self.width, "height": self.height}
        return {name: value for name, value in given.items() if value not in ("", 0)}


@dataclass(frozen=True)
class ReadLayouts:
    """Layouts, and what there is to know about them, a line each."""

    layouts: tuple[Layout, ...]
    notes: tuple[str, ...]


def layouts_from(boxes: object, document: str, format: str, wishes: Wishes) -> ReadLayouts:
    """The layouts of boxes (of any shape that ComfyUI's nodes hand on) or of a document.

    Raises LayoutError with every problem, each with the field or the line it is in.
    """
    check(boxes, document, format, wishes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = from_boxes(boxes, wishes) if boxes is not None else from_document(document, format, wishes)
    findings = Findings()
    layouts = []
    for place, layout in enumerate(found):
        try:
            layouts.append(ordered(layout, wishes))
        except LayoutError as error:
            findings.add(error.under((place,) if len(found) > 1 else ()).details)
    findings.raise_any()
    told = [str(warning.message) for warning in caught]
    for place, layout in enumerate(layouts):
        told += [f"picture {place + 1}: {line}" if len(layouts) > 1 else line for line in notes(layout)]
    return ReadLayouts(tuple(layouts), tuple(told))


def check(boxes: object, document: str, format: str, wishes: Wishes) -> None:
    """Raise LayoutError for inputs that contradict one another."""
    problems = []
    if (boxes is not None) == bool(document.strip()):
        got = "both" if document.strip() else "neither"
        problems.append(Problem((), f"expected boxes or a document, got {got}"))
    if format not in FORMATS:
        problems.append(Problem(("format",), f"expected {one_of(FORMATS)}, got {format!r}"))
    if wishes.order not in ORDERS:
        problems.append(Problem(("order",), f"expected {one_of(ORDERS)}, got {wishes.order!r}"))
    if wishes.cycles not in LOOPS:
        problems.append(Problem(("cycles",), f"expected {one_of(LOOPS)}, got {wishes.cycles!r}"))
    wants_relations = wishes.order in (PAIRS, DEPTHS)
    if wants_relations != bool(wishes.relations.strip()):
        expected = "some lines" if wants_relations else f"none with the order {wishes.order!r}"
        problems.append(Problem(("relations",), f"expected {expected}, got {wishes.relations!r:.60}"))
    if problems:
        raise LayoutError(problems)


def from_boxes(boxes: object, wishes: Wishes) -> list[Layout]:
    """Boxes, elements or layers that another node hands on, or their JSON; a list for each frame is a batch."""
    captions = wishes.captions.splitlines() if wishes.captions.strip() else None
    return layouts_of(boxes, captions=captions, list_order=ORDERS[wishes.order], **wishes.fields)


def from_document(document: str, format: str, wishes: Wishes) -> list[Layout]:
    """A document in a format that is named; what it cannot be told while it is read replaces what it says."""
    options = FORMATS[format].options
    told = {name: value for name, value in wishes.fields.items() if name in options}
    list_order = ORDERS[wishes.order]
    if "list_order" in options and list_order is not None:
        told["list_order"] = list_order
    rest = {name: value for name, value in wishes.fields.items() if name not in options}
    if "cycles" in options and wishes.cycles != LOOPS[0]:
        told["cycles"] = wishes.cycles
    layouts = [layout.model_copy(update=rest) for layout in read_layouts(document, format, **told)]
    if "list_order" not in options and wishes.order in (LAST_IN_FRONT, FIRST_IN_FRONT):
        layouts = [by_list(layout, first_in_front=wishes.order == FIRST_IN_FRONT) for layout in layouts]
    if not wishes.captions.strip():
        return layouts
    return [with_captions(layout, wishes.captions.splitlines()) for layout in layouts]


def by_list(layout: Layout, *, first_in_front: bool) -> Layout:
    """The layout with the places of its instances for an order."""
    ids = tuple(instance.id for instance in layout.instances)
    return layout.model_copy(update={"order": FrontToBack(front_to_back=ids if first_in_front else ids[::-1])})


def with_captions(layout: Layout, captions: Sequence[str]) -> Layout:
    """Other words for the instances, in their order."""
    if len(captions) != len(layout.instances):
        text = f"expected {len(layout.instances)} lines, one for each instance, got {len(captions)}"
        raise LayoutError([Problem(("captions",), text)])
    instances = tuple(
        instance.model_copy(update={"caption": caption}) if caption.strip() else instance
        for instance, caption in zip(layout.instances, captions, strict=True)
    )
    return layout.model_copy(update={"instances": instances})


def ordered(layout: Layout, wishes: Wishes) -> Layout:
    """The layout with the order that the lines of relations say, or none; lists are read in order already."""
    update: dict[str, Any] = {}
    if wishes.cycles != LOOPS[0]:
        update["cycles"] = wishes.cycles
    if wishes.order == NO_ORDER:
        update["order"] = None
    elif wishes.order == PAIRS:
        pairs = [pair for line in parsed(wishes.relations, layout, pairs_of) for pair in line]
        update["order"] = Pairs(pairs=tuple(Pair(front=front, behind=behind) for front, behind in dict.fromkeys(pairs)))
    elif wishes.order == DEPTHS:
        update["order"] = Depths(depths=depths_of(layout, wishes.relations))
    return layout.model_copy(update=update) if update else layout


def depths_of(layout: Layout, text: str) -> dict[str, float]:
    """The distance of every instance that a line names; each once."""
    pairs = list(parsed(text, layout, depth_of))
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise LayoutError(Problem(("relations",), f"expected one line for {name!r:.60}, got several") for name in twice)
    return dict(pairs)


class Names:
    """What lines of text may call the instances of a layout: their ids, or captions that no other one has."""

    def __init__(self, layout: Layout, field: str) -> None:
        self._field = field
        self._ids = {instance.id for instance in layout.instances}
        captions = [instance.caption.strip().casefold() for instance in layout.instances]
        self._captions = {
            caption: instance.id
            for caption, instance in zip(captions, layout.instances, strict=True)
            if captions.count(caption) == 1
        }

    def wrong(self, line: int, text: str) -> LayoutError:
        """What is wrong with a line."""
        return LayoutError([Problem((self._field,), f"line {line}: {text}")])

    def id_of(self, name: str, line: int) -> str:
        """The instance of a name. Raises LayoutError that names the line."""
        name = name.strip()
        if name in self._ids:
            return name
        if name.casefold() in self._captions:
            return self._captions[name.casefold()]
        known = one_of(sorted(self._ids)[:20]) if self._ids else "nothing, there are no instances"
        raise self.wrong(line, f"no instance {name!r:.60}; expected {known}")


def parsed(text: str, layout: Layout, parse: Parse, field: str = "relations") -> Iterator[Any]:
    """Every line that is not empty; raises LayoutError with the problems of all lines of a field."""
    names, findings, found = Names(layout, field), Findings(), []
    for line, words in enumerate(text.splitlines(), start=1):
        if not words.strip():
            continue
        try:
            found.append(parse(words, names, line))
        except LayoutError as error:
            findings.add(error.details)
    findings.raise_any()
    return iter(found)


def chain_of(words: str, names: Names, line: int) -> tuple[str, ...]:
    """`cat > dog > vase`, the nearest first, as ids."""
    parts = words.split(">")
    if len(parts) < 2:
        raise names.wrong(line, f"expected names with > between them, got {words!r:.60}")
    return tuple(names.id_of(part, line) for part in parts)


def pairs_of(words: str, names: Names, line: int) -> list[tuple[str, str]]:
    """The relations of `cat > dog > vase`: each in front of the next."""
    chain = chain_of(words, names, line)
    return list(pairwise(chain))


def depth_of(words: str, names: Names, line: int) -> tuple[str, float]:
    """`cat: 1.5`, the smaller is in front."""
    name, colon, number = words.rpartition(":")
    if not colon or not NUMBER.fullmatch(number.strip()) or not math.isfinite(float(number)):
        raise names.wrong(line, f"expected a name, a colon and a number, got {words!r:.60}")
    return names.id_of(name, line), float(number)


def notes(layout: Layout) -> list[str]:
    """Who is in front of whom where boxes overlap, and what of it a user may not have meant."""
    ids, order = [instance.id for instance in layout.instances], layout.zorder
    edges = frozenset() if order is None else order.edges
    lines = [_in_short(layout)]
    lines += [f"taken out of a loop: {pair.front} > {pair.behind}" for pair in layout.broken_pairs]
    for i, first in enumerate(layout.instances):
        for j in range(i + 1, len(layout.instances)):
            if first.box.intersection(layout.instances[j].box) is None:
                continue
            if (i, j) not in edges and (j, i) not in edges:
                lines.append(f"{ids[i]} and {ids[j]} overlap and have no order")
            lines += [f"{ids[a]} is in front of {ids[b]}" for a, b in ((i, j), (j, i)) if (a, b) in edges]
    return lines


def _in_short(layout: Layout) -> str:
    if layout.zorder is None:
        return "no order is declared"
    try:
        places = layout.zorder.front_to_back()
    except ZOrderCycle as loop:
        return f"a loop is kept: {' > '.join(layout.instances[int(place)].id for place in loop.cycle)}"
    return f"front to back: {' > '.join(layout.instances[place].id for place in places)}"
