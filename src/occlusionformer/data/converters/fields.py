"""Reads fields of other programs' JSON one at a time; problems are collected, not raised.

If `repairs` is a list, parts with faults are left out where that is enough, and each repair is noted in it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from occlusionformer.data.converters.shapes import ShapeError, ShapeReader
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Box, Mask
from occlusionformer.layout.problems import Path, Problem, shown

ABSENT = object()

LARGEST_NUMBER = 2**63 - 1
"""Greatest whole number: files sorted by id keep ids in 64 bits."""

FARTHEST = 1e9
"""Greatest distance in pixels of a box's edge from the picture; beyond it, its size would be lost to rounding."""


@dataclass
class Fields:
    """A JSON object of a file and its path in that file."""

    value: Any
    path: Path = ()
    problems: list[Problem] = field(default_factory=list)
    repairs: list[Problem] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            self.report("expected an object", self.value)
            self.value = {}

    def __contains__(self, name: str) -> bool:
        return name in self.value

    def report(self, text: str, value: object, *names: str | int) -> None:
        self.problems.append(self._problem(text, value, names))

    def leave_out(self, text: str, value: object, *names: str | int) -> None:
        """Report a faulty part that can be left out; with `repairs`, note that it is left out."""
        if self.repairs is None:
            self.report(text, value, *names)
        else:
            self.repairs.append(self._problem(f"left out: {text}", value, names))

    def _problem(self, text: str, value: object, names: tuple[str | int, ...]) -> Problem:
        got = "nothing" if value is ABSENT else shown(value)
        return Problem((*self.path, *names), f"{text}, got {got}")

    def at(self, *names: str | int, value: Any) -> Fields:
        """A nested object; its problems are collected with those of this one."""
        return Fields(value, (*self.path, *names), self.problems, self.repairs)

    def number(self, name: str) -> int:
        """A whole number; 0 if the field is missing or wrong."""
        value = self.value.get(name, ABSENT)
        if type(value) is int and abs(value) <= LARGEST_NUMBER:
            return value
        self.report("expected a whole number" + " of at most 64 bits" * (type(value) is int), value, name)
        return 0

    def text(self, name: str) -> str:
        """A string; empty if the field is missing or wrong."""
        value = self.value.get(name, ABSENT)
        if isinstance(value, str):
            return value
        self.report("expected text", value, name)
        return ""

    def rows(self, name: str) -> list[Fields]:
        """The objects of a list; empty if the field is missing or wrong."""
        value = self.value.get(name, ABSENT)
        if not isinstance(value, list):
            self.report("expected a list of objects", value, name)
            return []
        return [self.at(name, place, value=item) for place, item in enumerate(value)]

    def box(self, name: str, *, has_corners: bool = False) -> Box | None:
        """A box [x, y, width, height], or corners, as x1, y1, x2, y2 in pixels; None if it is missing."""
        value = self.value.get(name)
        if value is None:
            return None
        meaning = "x1, y1, x2, y2" if has_corners else "x, y, width, height"
        if not isinstance(value, list | tuple) or len(value) != 4 or any(type(e) not in (int, float) for e in value):
            self.report(f"expected four numbers {meaning}", value, name)
            return None
        if not all(abs(edge) < FARTHEST for edge in value):
            self.report(f"expected four numbers {meaning} nearer than {FARTHEST:g} to the picture", value, name)
            return None
        first, second, third, fourth = map(float, value)
        if not has_corners:
            third, fourth = first + third, second + fourth
        if first >= third or second >= fourth:
            rule = "x1 < x2 and y1 < y2" if has_corners else "a width and a height above 0"
            self.report(f"expected {rule}", value, name)
            return None
        return first, second, third, fourth

    def mask(self, name: str, height: int, width: int) -> Mask | None:
        """A mask from polygons or run lengths; None if it is missing or wrong."""
        value = self.value.get(name)
        if value is None:
            return None
        found: list[Problem] = []
        reader = ShapeReader(height, width, None if self.repairs is None else found)
        try:
            return reader.mask(value)
        except ShapeError as error:
            self.problems += (problem.under((*self.path, name)) for problem in error.problems)
            return None
        finally:
            if self.repairs is not None:
                self.repairs += (problem.under((*self.path, name)) for problem in found)

    def kept(self, without: Container[str]) -> str:
        """Fields that a record has no field for, as a JSON text."""
        return self.json({name: value for name, value in self.value.items() if name not in without})

    def json(self, value: Mapping[str, Any]) -> str:
        """An object as a JSON text; `{}` if it has values that JSON cannot hold."""
        try:
            text: str = from_extra("orjson").dumps(value).decode()
        except TypeError as error:
            self.report(f"expected fields that JSON can hold: {error}", value)
            return "{}"
        return text
