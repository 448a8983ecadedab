"""In which size a layout is drawn: models take sides that are multiples of an image token."""

from __future__ import annotations

from occlusionformer.layout import Layout

MULTIPLE = 16
"""Pixels of an image token of FLUX."""


def drawn_size(width: int, height: int) -> tuple[int, int]:
    """The size that a canvas is drawn in: each side at the nearest multiple of 16, 16 at least."""
    return _nearest(width), _nearest(height)


def accepted_sizes(layout: Layout) -> tuple[tuple[int, int], ...]:
    """The sizes that a picture of a layout may have: the canvas itself and what models make of it.

    Boxes are fractions of the canvas, so each of them shows the same layout. diffusers' FLUX pipelines round sides
    down to a multiple of 16.
    """
    canvas = (layout.width, layout.height)
    floor = (max(MULTIPLE, canvas[0] // MULTIPLE * MULTIPLE), max(MULTIPLE, canvas[1] // MULTIPLE * MULTIPLE))
    return tuple(dict.fromkeys([canvas, drawn_size(*canvas), floor]))


def _nearest(side: int) -> int:
    return max(MULTIPLE, (side + MULTIPLE // 2) // MULTIPLE * MULTIPLE)
