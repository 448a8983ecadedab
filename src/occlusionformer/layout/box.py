"""Boxes: rectangles on the canvas, as fractions of its width and height. Pure Python: no torch, no numpy."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeGuard

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from occlusionformer.layout.numeric import plain_number
from occlusionformer.layout.problems import LayoutError, Path, Problem, shown

EDGES = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True, init=False)
class Box:
    """Left, top, right and bottom edge, each from 0 to 1 of the canvas; x to the right, y down.

    Raises LayoutError for anything but four finite numbers with 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1.
    In a document a box is the list `[x1, y1, x2, y2]`.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def __init__(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self._fill((x1, y1, x2, y2), ("box",))

    @classmethod
    def from_pixels(cls, x1: float, y1: float, x2: float, y2: float, *, width: float, height: float) -> Box:
        """A box given in pixels of a canvas; boxes that leave the canvas are refused, never clipped."""
        return box_from_pixels((x1, y1, x2, y2), width=width, height=height, path=("box",))

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Fraction of the canvas covered."""
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def intersection(self, other: Box) -> Box | None:
        """The common box; None if there is none or the boxes only touch."""
        x1, y1 = max(self.x1, other.x1), max(self.y1, other.y1)
        x2, y2 = min(self.x2, other.x2), min(self.y2, other.y2)
        return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None

    def iou(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        common = self.intersection(other)
        if common is None:
            return 0.0
        union = self.area + other.area - common.area
        return common.area / union if union > 0 else 0.0

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Whole pixels (x1, y1, x2, y2), right and bottom exclusive, on a canvas of this size.

        Every edge goes to the nearest pixel edge, halves to the right and down; a side that would
        vanish keeps the one pixel its middle lies in.
        """
        x1, x2 = _whole(self.x1, self.x2, width)
        y1, y2 = _whole(self.y1, self.y2, height)
        return x1, y1, x2, y2

    def __iter__(self) -> Iterator[float]:
        return iter((self.x1, self.y1, self.x2, self.y2))

    @classmethod
    def parse(cls, value: object) -> Box:
        """A box from the list of a document; the problems it raises have no path."""
        if isinstance(value, Box):
            return value
        if not isinstance(value, list | tuple) or len(value) != 4:
            raise LayoutError([f"expected four numbers x1, y1, x2, y2, got {shown(value)}"])
        box = cls.__new__(cls)
        box._fill(value, ())
        return box

    def _fill(self, edges: Sequence[Any], path: Path) -> None:
        if found := _problems(edges):
            raise LayoutError(Problem(path, text) for text in found)
        for name, edge in zip(EDGES, edges, strict=True):
            object.__setattr__(self, name, float(edge))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(list)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 4,
            "maxItems": 4,
            "examples": [[0.1, 0.25, 0.6, 0.9]],
        }


def box_from_pixels(edges: Sequence[object], *, width: float, height: float, path: Path = ()) -> Box:
    """`[x1, y1, x2, y2]` in pixels as a box; its problems are told in pixels and lie under `path`."""
    if found := _problems(edges, (width, height)):
        raise LayoutError(Problem(path, text) for text in found)
    x1, y1, x2, y2 = (edge for edge in edges if is_number(edge))
    return Box(x1 / width, y1 / height, x2 / width, y2 / height)


def overlapping_pairs(boxes: Sequence[Box], *, margin: float = 0.0) -> Iterator[tuple[int, int]]:
    """Indices (i, j), i < j, of boxes that overlap, or that would with a gap below `margin` closed.

    Sweeps along the axis on which the boxes are short; the order of the pairs is not defined.
    """
    along_x = sum(box.width for box in boxes) <= sum(box.height for box in boxes)
    spans = [(b.x1, b.x2, b.y1, b.y2) if along_x else (b.y1, b.y2, b.x1, b.x2) for b in boxes]
    open_spans: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda index: spans[index][0]):
        start, _, low, high = spans[i]
        open_spans = [j for j in open_spans if spans[j][1] + margin > start]
        for j in open_spans:
            if spans[j][2] < high + margin and low < spans[j][3] + margin:
                yield (i, j) if i < j else (j, i)
        open_spans.append(i)


def overlap_bits(boxes: Sequence[Box], *, margin: float = 0.0) -> list[int]:
    """For every box, the others that `overlapping_pairs` pairs it with, as the bits of an integer.

    Costs n log n steps on integers of n bits, however many boxes overlap.
    """
    everybody = (1 << len(boxes)) - 1
    rows = [everybody ^ (1 << i) for i in range(len(boxes))]
    for lows, highs in (([b.x1 for b in boxes], [b.x2 for b in boxes]), ([b.y1 for b in boxes], [b.y2 for b in boxes])):
        ends = [high + margin for high in highs]
        _keep(rows, lows, ends)  # those that begin before this one ends
        _keep(rows, [-end for end in ends], [-low for low in lows])  # those that end after this one begins
    return rows


def _keep(rows: list[int], starts: Sequence[float], stops: Sequence[float]) -> None:
    """Leave in every row i only the bits of those j whose start lies below the stop of i."""
    by_start = sorted(range(len(rows)), key=starts.__getitem__)
    below = taken = 0
    for i in sorted(range(len(rows)), key=stops.__getitem__):
        while taken < len(rows) and starts[by_start[taken]] < stops[i]:
            below |= 1 << by_start[taken]
            taken += 1
        rows[i] &= below


def _problems(edges: Sequence[object], size: tuple[float, float] = (1, 1)) -> list[str]:
    """Problems of four edges on a canvas of this width and height."""
    found = []
    numbers: dict[str, float] = {}
    for name, edge, limit in zip(EDGES, edges, size * 2, strict=True):
        if not is_number(edge):
            found.append(f"expected {name} to be a number, got {shown(edge)}")
        elif not is_finite(edge) and not isinstance(edge, int):
            found.append(f"expected {name} to be a finite number, got {shown(edge)}")
        else:
            numbers[name] = edge
            if not 0 <= edge <= limit:
                found.append(f"expected {name} from 0 to {limit}, got {shown(edge)}")
    for low, high in (("x1", "x2"), ("y1", "y2")):
        if low in numbers and high in numbers and not numbers[low] < numbers[high]:
            found.append(f"expected {low} < {high}, got {shown(numbers[low])} and {shown(numbers[high])}")
    return found


def is_number(value: object) -> TypeGuard[float]:
    """A real number, also of another library; true and false are none."""
    return isinstance(value, float | int | Real) and not isinstance(value, bool)


def is_finite(number: float) -> bool:
    """Whether floating point can hold a number: not NaN, not infinity, no integer beyond its range."""
    plain: float = plain_number(number)
    return abs(plain) <= sys.float_info.max


def _whole(low: float, high: float, length: int) -> tuple[int, int]:
    """The pixel edges nearest to two fractions of a side, at least one pixel apart."""
    first, last = math.floor(low * length + 0.5), math.floor(high * length + 0.5)
    if first < last:
        return first, last
    middle = min(math.floor((low + high) / 2 * length), length - 1)
    return middle, middle + 1
