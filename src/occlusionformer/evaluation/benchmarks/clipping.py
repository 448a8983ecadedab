"""Boxes of published data that reach slightly beyond their canvas: cut off at its edge, and counted."""

from __future__ import annotations

from typing import Any, NamedTuple

from occlusionformer.layout import Box
from occlusionformer.layout.box import is_finite, is_number

MOST_OUTSIDE = 1 / 16
"""How far a box may reach beyond the canvas on either side, as a fraction of that side; a box beyond is an error."""


class ClippedBox(NamedTuple):
    """A box inside its canvas."""

    box: Box
    is_clipped: bool


def clipped_corners(corners: Any, width: int, height: int) -> ClippedBox:
    """The box of [x1, y1, x2, y2] in pixels, cut off at the canvas.

    Raises LayoutError for a box without a part inside, for one that reaches further out than MOST_OUTSIDE, and for
    anything but four finite numbers.
    """
    inside = _clipped(corners, width, height)
    box = Box.from_pixels(*inside, width=width, height=height)
    return ClippedBox(box, list(inside) != list(corners))


def clipped_pixels(corners: Any, width: int, height: int) -> Any:
    """The corners in pixels, cut off at the canvas where `clipped_corners` would; anything else unchanged."""
    is_box = isinstance(corners, list | tuple) and len(corners) == 4
    return list(_clipped(corners, width, height)) if is_box else corners


def _clipped(corners: Any, width: int, height: int) -> Any:
    sides = (width, height, width, height)
    if not all(is_number(edge) and is_finite(edge) for edge in corners):
        return corners
    if any(
        not -MOST_OUTSIDE * side <= edge <= (1 + MOST_OUTSIDE) * side for edge, side in zip(corners, sides, strict=True)
    ):
        return corners
    return [min(max(edge, 0), side) for edge, side in zip(corners, sides, strict=True)]
