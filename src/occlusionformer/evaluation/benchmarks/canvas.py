"""The sizes in which a layout may be drawn: models take sides that are multiples of an image token."""

from __future__ import annotations

from occlusionformer.generation.canvas import TOKEN_SIDE, nearest_size
from occlusionformer.layout import Layout


def accepted_sizes(layout: Layout) -> tuple[tuple[int, int], ...]:
    """The sizes that a picture of a layout may have: the canvas itself and what models make of it.

    Boxes are fractions of the canvas, so each of them shows the same layout. diffusers' FLUX pipelines round sides
    down to a multiple of 16.
    """
    canvas = (layout.width, layout.height)
    floor = (
        max(TOKEN_SIDE, canvas[0] // TOKEN_SIDE * TOKEN_SIDE),
        max(TOKEN_SIDE, canvas[1] // TOKEN_SIDE * TOKEN_SIDE),
    )
    return tuple(dict.fromkeys([canvas, nearest_size(*canvas), floor]))
