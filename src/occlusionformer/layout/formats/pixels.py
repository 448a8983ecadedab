"""Boxes in pixels, [x1, y1, x2, y2] or [x, y, width, height], or in steps of a grid over the canvas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from occlusionformer.layout.box import Box, box_from_pixels, is_finite, is_number
from occlusionformer.layout.problems import LayoutError, shown

Canvas = tuple[int, int]
"""Width and height in pixels."""

GRID: Canvas = (1000, 1000)
"""Steps into which captions of image models divide a canvas, whatever its size."""


def read_corners(value: object, canvas: Canvas) -> Box:
    """A box from [x1, y1, x2, y2]."""
    width, height = canvas
    return box_from_pixels(_four(value, "x1, y1, x2, y2"), width=width, height=height)


def read_corner_and_size(value: object, canvas: Canvas) -> Box:
    """A box from [x, y, width, height]; numbers add up as the decimals they are written as: 0.1 and 0.2 to 0.3."""
    given = _four(value, "x, y, width, height")
    numbers = [number for number in given if is_number(number) and is_finite(number)]
    if len(numbers) < 4:
        raise LayoutError([f"expected four finite numbers x, y, width, height, got {shown(value)}"])
    sides = zip(("width", "height"), numbers[2:], strict=True)
    if empty := [f"expected a {name} above 0, got {shown(side)}" for name, side in sides if side <= 0]:
        raise LayoutError(empty)
    x, y, box_width, box_height = map(_decimal, numbers)
    width, height = canvas
    return box_from_pixels((x, y, x + box_width, y + box_height), width=width, height=height)


def read_grid_yx(value: object, canvas: Canvas) -> Box:
    """A box from [y1, x1, y2, x2] in steps of GRID; the canvas does not matter."""
    y1, x1, y2, x2 = _four(value, "y1, x1, y2, x2")
    width, height = GRID
    return box_from_pixels((x1, y1, x2, y2), width=width, height=height)


def grid_yx(box: Box) -> list[int]:
    """[y1, x1, y2, x2] of a box in whole steps of GRID; a side never vanishes."""
    x1, y1, x2, y2 = box.pixels(*GRID)
    return [y1, x1, y2, x2]


def corners(box: Box, canvas: Canvas) -> list[float]:
    """[x1, y1, x2, y2] of a box; reading it gives the same box, where that can be written as such numbers."""
    return [pixel(edge, side) for edge, side in zip(box, canvas * 2, strict=True)]


def corner_and_size(box: Box, canvas: Canvas) -> list[float]:
    """[x, y, width, height] of a box; reading it gives the same box, where that can be written as such numbers."""
    x, width = _start_and_length(box.x1, box.x2, canvas[0])
    y, height = _start_and_length(box.y1, box.y2, canvas[1])
    return [x, y, width, height]


def pixel(fraction: float, side: int) -> float:
    """The coordinate with the fewest digits that is this fraction of a side."""
    fitting = (number for number in _near(Fraction(fraction) * side) if number / side == fraction)
    return next(fitting, fraction * side)


def _start_and_length(low: float, high: float, side: int) -> tuple[float, float]:
    """The numbers with the fewest digits whose first, and whose sum, are these fractions of a side."""
    for start in _near(Fraction(low) * side):
        first = _decimal(start)
        if float(first / side) == low:
            for length in _near(Fraction(high) * side - first):
                if first + _decimal(length) <= side and float((first + _decimal(length)) / side) == high:
                    return start, length
    start = low * side
    length = float(Fraction(high) * side - _decimal(start))
    is_outside = _decimal(start) + _decimal(length) > side
    return start, math.nextafter(length, 0) if is_outside else length


def _near(exact: Fraction) -> Iterator[float]:
    """Numbers close to an exact one: those with few digits first, then its neighbours in floating point."""
    yield round(exact)
    middle = float(exact)
    yield from (round(middle, digits) for digits in range(1, 16))
    below = math.nextafter(middle, -math.inf)
    above = math.nextafter(middle, math.inf)
    yield from (middle, below, above, math.nextafter(below, -math.inf), math.nextafter(above, math.inf))


def _four(value: object, names: str) -> Sequence[object]:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise LayoutError([f"expected four numbers {names}, got {shown(value)}"])
    return value


def _decimal(number: float) -> Fraction:
    """A number as it is written, not as floating point holds it."""
    return Fraction(repr(number if isinstance(number, int) else float(number)))
