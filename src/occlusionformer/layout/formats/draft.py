"""A layout while it is read from another format: values as found, each with its path in the document.

Nothing is checked twice: values go into the layout as they are, and what the layout says about them
is told with the paths of the document they came from.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from occlusionformer.layout.box import Box
from occlusionformer.layout.formats.format import ReadOptions
from occlusionformer.layout.formats.pixels import Canvas
from occlusionformer.layout.problems import Findings, LayoutError, Path, Problem, one_of, shown
from occlusionformer.layout.region import LONGEST_SIDE
from occlusionformer.layout.schema import CyclePolicy, Layout, Pair, Pairs

Fields = Mapping[str, object]


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()
"""Stands for a field that is not there; messages show it as it is."""

LARGEST_CANVAS: Canvas = (LONGEST_SIDE, LONGEST_SIDE)

_ANY_BOX = Box(0, 0, 1, 1)
"""Stands for a box that has been reported already; a draft with a problem never becomes a layout."""


@dataclass
class Draft:
    """One layout being read from the part of a document at `path`."""

    path: Path
    findings: Findings = field(default_factory=Findings)
    fields: dict[str, object] = field(default_factory=dict)
    instances: list[dict[str, object]] = field(default_factory=list)
    pairs: list[tuple[int, int]] | None = None
    """Relations (front, behind) by place; None when the document declares no order."""
    depths: dict[int, float] | None = None
    """Distances by place."""
    front_to_back: Sequence[int] | None = None
    """A total order by place, the nearest first."""
    origins: dict[Path, Path] = field(default_factory=dict)
    """Paths in the document by paths in the layout."""

    def report(self, path: Path, text: str) -> None:
        """Note a problem. Raises LayoutError once there are more than are listed."""
        self.findings.add([Problem((*self.path, *path), text)])

    def note(self, path: Path, text: str) -> None:
        """Warn the caller how an ambiguous field was read."""
        warnings.warn(str(Problem((*self.path, *path), text)), stacklevel=2)

    def put(self, name: str, value: object, path: Path) -> None:
        """Set a field of the layout, found at `path`."""
        self.fields[name] = value
        self.origins[name,] = path

    def take(self, name: str, source: Fields, *names: str, path: Path = ()) -> None:
        """A field of the layout from the one of `names` that an object of the document, at `path`, has."""
        chosen = self.choose(source, names or (name,), path)
        self.origins[name,] = (*path, chosen)
        if chosen in source:
            self.fields[name] = source[chosen]

    def take_or_given(self, source: Fields, options: ReadOptions, *names: str) -> None:
        """Fields of the layout from the document or from the caller, never from both."""
        for name in names:
            self.take(name, source)
            given = getattr(options, name)
            if given is not None and name in source:
                self.report((name,), "expected a value in the document or from the caller, got both")
            elif given is not None:
                self.put(name, given, (name,))

    def choose(self, source: Fields, names: Sequence[str], path: Path) -> str:
        """The one of several names for a field that is present, or the first; two at once are a problem."""
        present = [name for name in names if name in source]
        if len(present) > 1 and any(source[name] != source[present[0]] for name in present):
            self.report((*path, present[1]), f"expected one of {one_of(present, 'and')}, got both")
        return present[0] if present else names[0]

    def add(self, path: Path, identifier: object) -> int:
        """Add an instance, found at `path`; returns its index."""
        place = len(self.instances)
        self.instances.append({"id": identifier})
        self.origins["instances", place] = path
        return place

    def drop_first(self) -> None:
        """Take the first instance out again, where a format says something else with it; the ids move up."""
        ids = [instance["id"] for instance in self.instances]
        del self.instances[0]
        moved: dict[Path, Path] = {}
        for path, origin in self.origins.items():
            if path[0] != "instances":
                moved[path] = origin
            elif isinstance(path[1], int) and path[1] > 0:
                moved["instances", path[1] - 1, *path[2:]] = origin
        self.origins = moved
        for instance, identifier in zip(self.instances, ids, strict=False):
            instance["id"] = identifier

    def take_for(self, place: int, name: str, source: Fields, *names: str) -> None:
        """A field of an instance from the one of `names` that its row has."""
        row = self.origins["instances", place]
        chosen = self.choose(source, names or (name,), row)
        self.origins["instances", place, name] = (*row, chosen)
        if chosen in source:
            self.instances[place][name] = source[chosen]

    def listed(self, value: object, path: Path) -> Sequence[object]:
        """The items of a list; for anything else a problem and no items."""
        if isinstance(value, list | tuple):
            return value
        self.report(path, f"expected a list, got {shown(value)}")
        return ()

    def rows(self, value: object, path: Path, stand_in: Fields) -> list[Fields]:
        """The objects of a list; one that is none is reported, and `stand_in` keeps its place."""
        if not isinstance(value, list | tuple):
            self.report(path, f"expected a list of objects, got {shown(value)}")
            return []
        for place, item in enumerate(value):
            if not isinstance(item, Mapping):
                self.report((*path, place), f"expected an object, got {shown(item)}")
        return [item if isinstance(item, Mapping) else stand_in for item in value]

    def refuse_others(self, source: Fields, known: Collection[str], path: Path = ()) -> None:
        """Report unknown fields."""
        for name in source:
            if name not in known:
                self.report((*path, name), f"unknown field; expected {one_of(known)}")

    def put_for(self, place: int, name: str, value: object, path: Path) -> None:
        self.instances[place][name] = value
        self.origins["instances", place, name] = path

    def put_box(
        self, place: int, row: Fields, name: str, read: Callable[[object, Canvas], Box], canvas: Canvas | None
    ) -> None:
        """The box of an instance from a field of its row; on a canvas that is not known, the largest there may be."""
        path = (*self.origins["instances", place], name)
        if name in row:
            self.put_box_at(place, row[name], path, read, canvas)
        else:
            self.instances[place]["box"] = _ANY_BOX
            self.report(path, "expected a value, got nothing")

    def put_box_at(
        self, place: int, value: object, path: Path, read: Callable[[object, Canvas], Box], canvas: Canvas | None
    ) -> None:
        """The box of an instance from a value found at `path`; otherwise like `put_box`."""
        self.instances[place]["box"] = _ANY_BOX
        try:
            self.instances[place]["box"] = read(value, canvas or LARGEST_CANVAS)
        except LayoutError as error:
            for problem in error.details:
                self.report((*path, *problem.path), problem.text)

    def canvas(self) -> Canvas | None:
        """Width and height, if they are valid."""
        width, height = self.fields.get("width"), self.fields.get("height")
        return (width, height) if _is_side(width) and _is_side(height) else None

    def build(self, cycles: CyclePolicy) -> Layout:
        """The layout. Raises LayoutError with all problems of the document."""
        self.fields["cycles"] = cycles
        order = self._order()
        if order is not None:
            self.fields["order"] = order
        try:
            layout = Layout.model_validate({**self.fields, "instances": self.instances})
        except LayoutError as error:
            raise LayoutError([*self.findings.found, *map(self._in_document, error.details)]) from None
        self.findings.raise_any()
        return layout

    def _order(self) -> object:
        """By ids that the instances are checked for: a dense matrix has a hundred thousand pairs."""
        ids = [identifier for instance in self.instances if isinstance(identifier := instance["id"], str)]
        if len(ids) < len(self.instances):
            return None
        if self.pairs is not None:
            pairs = (Pair.model_construct(front=ids[front], behind=ids[behind]) for front, behind in self.pairs)
            return Pairs.model_construct(pairs=tuple(pairs))
        if self.front_to_back is not None:
            return {"front_to_back": [ids[place] for place in self.front_to_back]}
        if self.depths is not None:
            return {"depths": {ids[place]: depth for place, depth in self.depths.items()}}
        return None

    def _in_document(self, problem: Problem) -> Problem:
        for length in range(len(problem.path), 0, -1):
            origin = self.origins.get(problem.path[:length])
            if origin is not None:
                return Problem((*self.path, *origin, *problem.path[length:]), problem.text)
        return problem.under(self.path)


def an_object(value: object, path: Path) -> Fields:
    if not isinstance(value, Mapping):
        raise LayoutError([Problem(path, f"expected an object, got {shown(value)}")])
    return value


def _is_side(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LONGEST_SIDE
