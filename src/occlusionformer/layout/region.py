"""Region masks: the part of the canvas an instance may fill, finer than its box."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral
from typing import Annotated

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from occlusionformer.layout import rle
from occlusionformer.layout.box import Box
from occlusionformer.layout.document import Document, InSlices
from occlusionformer.layout.numeric import AnyNumber
from occlusionformer.layout.problems import LayoutError, shown

SMALLEST_AREA = 1e-12
"""Fraction of the canvas below which a polygon encloses nothing but rounding errors."""

LONGEST_SIDE = 65_535
"""Pixels; the area then fits the 32 bits of a COCO run length."""

UnitFloat = Annotated[float, Field(strict=True, ge=0, le=1), AnyNumber]
Side = Annotated[int, Field(strict=True, ge=1, le=LONGEST_SIDE), AnyNumber]


class Polygon(Document):
    """A region with straight edges."""

    points: Annotated[tuple[tuple[UnitFloat, UnitFloat], ...], InSlices] = Field(
        description="Corners [x, y] in order, as fractions of the canvas width and height; at least three. The last is "
        "joined to the first. The shape must enclose an area, counted with its sign by the direction of travel.",
        json_schema_extra={"minItems": 3},
    )

    @field_validator("points")
    @classmethod
    def _encloses_an_area(cls, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if len(points) < 3:
            raise LayoutError([f"expected at least 3 points, got {len(points)}"])
        if abs(signed_area(points)) < SMALLEST_AREA:
            raise LayoutError([f"expected a polygon that encloses an area, got {shown(points)}"])
        return points

    def bounds(self) -> Box:
        """The smallest box around the region."""
        xs, ys = zip(*self.points, strict=True)
        return Box(min(xs), min(ys), max(xs), max(ys))


class RunLength(Document):
    """A region as a COCO run-length mask, stretched over the canvas."""

    size: tuple[Side, Side] = Field(description="Height and width of the mask in pixels.")
    counts: Annotated[
        str | tuple[int, ...],
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": "^[0-o]+$"},
                    {"type": "array", "items": {"type": "integer", "minimum": 0}},
                ]
            }
        ),
    ] = Field(
        description="Lengths of alternating runs of unset and set pixels, down the columns, the first unset: a list, "
        "or the string COCO compresses it to. They add up to height x width.",
    )

    @field_validator("size", mode="before")
    @classmethod
    def _size_is_a_list(cls, size: object) -> object:
        return _plain_list(size)

    @field_validator("counts", mode="before")
    @classmethod
    def _fits_size(cls, counts: object, info: ValidationInfo) -> str | list[int]:
        """Bytes, as pycocotools gives them, become the string they hold, and arrays of numpy lists."""
        counts = counts.decode("latin-1") if isinstance(counts, bytes) else _plain_list(counts)
        numbers = _run_lengths(counts)
        if min(numbers, default=0) < 0:
            negative = next(count for count in numbers if count < 0)
            raise LayoutError([f"expected run lengths of at least 0, got {shown(negative)}"])
        if not any(numbers[1::2]):
            raise LayoutError(["expected at least one set pixel, got none"])
        if "size" in info.data:
            height, width = info.data["size"]
            if sum(numbers) != height * width:
                raise LayoutError(
                    [f"expected runs that add up to {height} x {width} = {height * width}, got {shown(sum(numbers))}"]
                )
        return counts if isinstance(counts, str) else list(numbers)

    def run_lengths(self) -> tuple[int, ...]:
        """The counts as numbers: unset, set, unset, ... pixels down the columns."""
        return _run_lengths(self.counts)

    def bounds(self) -> Box:
        """The smallest box around the set pixels."""
        height, width = self.size
        top, left, bottom, right = rle.bounds(self.run_lengths(), height)
        return Box(left / width, top / height, right / width, bottom / height)

    def decode(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For every row of the mask its runs of set pixels as half-open column ranges, left to right."""
        height, width = self.size
        return rle.rows(self.run_lengths(), height, width)

    def rows(self) -> list[list[int]]:
        """The mask itself: `height` rows of `width` numbers, 1 where it is set; costs a number for every pixel."""
        return [rle.paint(runs, self.size[1]) for runs in self.decode()]


def signed_area(points: tuple[tuple[float, float], ...]) -> float:
    """Shoelace formula; positive for corners that go clockwise on the screen."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True)) / 2


def _plain_list(value: object) -> object:
    """An array of numpy as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


@lru_cache(maxsize=1)
def _decompressed(counts: str) -> tuple[int, ...]:
    """A region is looked at several times when it is read: alone, and beside its box."""
    return tuple(rle.decompress(counts))


def _run_lengths(counts: object) -> tuple[int, ...]:
    if isinstance(counts, str):
        try:
            return _decompressed(counts)
        except ValueError as error:
            raise LayoutError([f"expected a COCO compressed string: {error}, got {shown(counts)}"]) from None
    if isinstance(counts, list | tuple):
        if set(map(type, counts)) <= {int}:
            return tuple(counts)
        if wrong := [count for count in counts if not isinstance(count, Integral) or isinstance(count, bool)]:
            raise LayoutError([f"expected whole numbers, got {shown(wrong[0])}"])
        return tuple(map(int, counts))
    raise LayoutError([f"expected a COCO compressed string or a list of whole numbers, got {shown(counts)}"])
