"""Convex hulls of masks: what is hidden of a thing lies mostly inside the hull of what is seen.

Arrays: H rows, W columns.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[int, int]


def filled_hull(mask_HW: np.ndarray) -> np.ndarray:
    """The convex hull of the centres of the set pixels, drawn with its edge: (H, W) bool."""
    columns = np.flatnonzero(mask_HW.any(axis=0)).tolist()
    tops = mask_HW.argmax(axis=0)
    bottoms = len(mask_HW) - 1 - mask_HW[::-1].argmax(axis=0)
    upper = _chain([(column, int(tops[column])) for column in columns], sign=1)
    lower = _chain([(column, int(bottoms[column])) for column in columns], sign=-1)
    outline = [*upper, *reversed(lower)]
    drawn = Image.new("L", (mask_HW.shape[1], mask_HW.shape[0]))
    if len(outline) > 1:
        ImageDraw.Draw(drawn).polygon(outline, fill=1, outline=1)
    hull_HW: np.ndarray = (np.asarray(drawn) > 0) | mask_HW
    return hull_HW


def _chain(points: list[Point], *, sign: int) -> list[Point]:
    """The part of the hull on one side of points that go from left to right (Andrew's monotone chain)."""
    kept: list[Point] = []
    for point in points:
        while len(kept) > 1 and sign * _turn(kept[-2], kept[-1], point) <= 0:
            kept.pop()
        kept.append(point)
    return kept


def _turn(first: Point, second: Point, third: Point) -> int:
    """Positive for a turn clockwise on the screen."""
    return (second[0] - first[0]) * (third[1] - first[1]) - (second[1] - first[1]) * (third[0] - first[0])
