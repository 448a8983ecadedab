"""Boxes in pixels: [x1, y1, x2, y2] or [x, y, width, height]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from occlusionformer.layout.box import Box, box_from_pixels, is_number
from occlusionformer.layout.problems import LayoutError, shown

Canvas = tuple[int, int]
"""Width and height in pixels."""


def read_corners(value: object, canvas: Canvas) -> Box:
    """A box from [x1, y1, x2, y2]."""
    width, height = canvas
    return box_from_pixels(_four(value, "x1, y1, x2, y2"), width=width, height=height)


def read_corner_and_size(value: object, canvas: Canvas) -> Box:
    """A box from [x, y, width, height]; the sums are those of the decimals as written: 0.1 + 0.2 is 0.3."""
    given = _four(value, "x, y, width, height")
    numbers = [number for number in given if is_number(number) and math.isfinite(number)]
    if len(numbers) < 4:
        raise LayoutError([f"expected four finite numbers x, y, width, height, got {shown(value)}"])
    x, y, box_width, box_height = numbers
    if empty := [
        f"expected a {n} above 0, got {shown(s)}" for n, s in (("width", box_width), ("height", box_height)) if s <= 0
    ]:
        raise LayoutError(empty)
    width, height = canvas
    return box_from_pixels((x, y, _sum(x, box_width), _sum(y, box_height)), width=width, height=height)


def corners(box: Box, canvas: Canvas) -> list[float]:
    """[x1, y1, x2, y2] of a box, such that reading it gives the same box where floating point allows."""
    width, height = canvas
    return [pixel(box.x1, width), pixel(box.y1, height), pixel(box.x2, width), pixel(box.y2, height)]


def corner_and_size(box: Box, canvas: Canvas) -> list[float]:
    """[x, y, width, height] of a box, such that reading it gives the same box where floating point allows."""
    x1, y1, x2, y2 = corners(box, canvas)
    return [x1, y1, _difference(x2, x1), _difference(y2, y1)]


def pixel(fraction: float, side: int) -> float:
    """The pixel coordinate with the fewest digits that divided by the side gives the fraction."""
    exact = fraction * side
    if (whole := round(exact)) / side == fraction:
        return whole
    nearby = (exact, math.nextafter(exact, 0), math.nextafter(exact, math.inf))
    tidy = (round(exact, digits) for digits in range(1, 16))
    return next((number for number in (*tidy, *nearby) if number / side == fraction), exact)


def _four(value: object, names: str) -> Sequence[object]:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise LayoutError([f"expected four numbers {names}, got {shown(value)}"])
    return value


def _sum(a: float, b: float) -> float:
    return float(Fraction(repr(a)) + Fraction(repr(b)))


def _difference(a: float, b: float) -> float:
    length = Fraction(repr(a)) - Fraction(repr(b))
    return int(length) if length.denominator == 1 else float(length)
