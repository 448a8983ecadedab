"""In which size a picture is drawn: models draw whole image tokens, so sides are multiples of one."""

from __future__ import annotations

from occlusionformer.generation.request import GenerationRequest

TOKEN_SIDE = 16
"""Pixels of an image token of FLUX."""


class CanvasError(ValueError):
    """A canvas with a side that is no multiple of an image token; the text lists such sides, one a line."""

    def __init__(self, width: int, height: int, multiple: int) -> None:
        self.nearest = nearest_size(width, height, multiple)
        """The width and height that come closest and can be drawn."""
        self.sides = {
            name: f"expected a multiple of {multiple}, got {side}; the nearest is {fitting}"
            for name, side, fitting in zip(("width", "height"), (width, height), self.nearest, strict=True)
            if side % multiple
        }
        """What is wrong with a side by its name."""
        self.problems = [f"{name}: {text}" for name, text in self.sides.items()]
        super().__init__("\n".join(self.problems))


def nearest_size(width: int, height: int, multiple: int = TOKEN_SIDE) -> tuple[int, int]:
    """Width and height at the nearest multiples, halves up, and one multiple at least.

    Boxes are fractions of the canvas, so the layout is the same; diffusers' FLUX pipelines round down instead.
    """
    return _nearest(width, multiple), _nearest(height, multiple)


def drawn_size(request: GenerationRequest, multiple: int = TOKEN_SIDE) -> tuple[int, int]:
    """Width and height in which a request is drawn by a model whose sides are multiples.

    Raises CanvasError for other sides, unless the request takes the nearest size.
    """
    width, height = request.canvas
    if request.nearest_size:
        return nearest_size(width, height, multiple)
    if width % multiple or height % multiple:
        raise CanvasError(width, height, multiple)
    return width, height


def _nearest(side: int, multiple: int) -> int:
    return max(multiple, (side + multiple // 2) // multiple * multiple)
