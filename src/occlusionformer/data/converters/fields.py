"""Fields of foreign JSON, taken one by one; what is wrong with them is collected rather than raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from occlusionformer.data.records.masks import coco_mask
from occlusionformer.data.records.record import Box, Mask
from occlusionformer.layout.problems import Path, Problem, shown

ABSENT = object()


@dataclass
class Fields:
    """An object of a foreign file, found at `path`."""

    value: Any
    path: Path = ()
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            self.report("expected an object", self.value)
            self.value = {}

    def __contains__(self, name: str) -> bool:
        return name in self.value

    def report(self, text: str, value: object, *names: str | int) -> None:
        got = "nothing" if value is ABSENT else shown(value)
        self.problems.append(Problem((*self.path, *names), f"{text}, got {got}"))

    def at(self, *names: str | int, value: Any) -> Fields:
        """A part of this object, whose problems are collected with its own."""
        return Fields(value, (*self.path, *names), self.problems)

    def number(self, name: str) -> int:
        """A whole number; 0 where there is none."""
        value = self.value.get(name, ABSENT)
        if type(value) is int:
            return value
        self.report("expected a whole number", value, name)
        return 0

    def text(self, name: str) -> str:
        """Text; none where there is none."""
        value = self.value.get(name, ABSENT)
        if isinstance(value, str):
            return value
        self.report("expected text", value, name)
        return ""

    def rows(self, name: str) -> list[Fields]:
        """The objects of a list; none where there is no list."""
        value = self.value.get(name, ABSENT)
        if not isinstance(value, list):
            self.report("expected a list of objects", value, name)
            return []
        return [self.at(name, place, value=item) for place, item in enumerate(value)]

    def box(self, name: str, *, has_corners: bool = False) -> Box | None:
        """Corners of a box [x, y, width, height], or of one that has them; None where it is not there."""
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 4 or any(type(edge) not in (int, float) for edge in value):
            meaning = "x1, y1, x2, y2" if has_corners else "x, y, width, height"
            self.report(f"expected four numbers {meaning}", value, name)
            return None
        first, second, third, fourth = map(float, value)
        return (first, second, third, fourth) if has_corners else (first, second, first + third, second + fourth)

    def mask(self, name: str, height: int, width: int) -> Mask | None:
        """A mask of polygons or run lengths; None where it is not there."""
        value = self.value.get(name)
        if value is None:
            return None
        try:
            return coco_mask(value, height, width)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            self.report(str(error) if isinstance(error, ValueError) else "expected size and counts", value, name)
            return None
