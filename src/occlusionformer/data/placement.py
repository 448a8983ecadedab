"""Objects at their places on a canvas, and how they are put over a background.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

OPAQUE = 128
"""Alpha out of 255 from which a pixel counts as covered: the least above one half."""
CROWDED = 0.5
"""Share of overlapping scenes in which every object is put near another; in the rest, every second one is."""
NEAR, FAR = 0.2, 0.9
"""Distance between the centres of neighbours, in half the sum of their sides: 0 is concentric, 1 is touching."""
TRIES_PER_OBJECT = 12
TRIES_PER_SCENE = 200


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels from (left, top) inclusive."""

    left: int
    top: int
    width: int
    height: int


class Pictured(Protocol):
    """An object that has a picture."""

    @property
    def name(self) -> str: ...
    @property
    def picture(self) -> Image.Image:
        """Mode RGBa: colours are premultiplied by alpha."""
        ...

    @property
    def aspect(self) -> float:
        """Width over height."""
        ...


Shadow: TypeAlias = "tuple[tuple[slice, slice], np.ndarray]"
"""Rows and columns, and how much (H, W, 1), 0..1, a shadow takes of the light there."""


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """An object at its place on the canvas."""

    item: Pictured
    rectangle: Rectangle
    pixels: np.ndarray
    """(H, W, 4) uint8, premultiplied colour and alpha, of the rectangle alone."""
    mask: np.ndarray
    """(H, W) bool, the amodal mask on the whole canvas."""
    shadow: Shadow | None = None
    """What it casts on whatever is behind it."""

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the rectangle."""
        spot = self.rectangle
        return slice(spot.top, spot.top + spot.height), slice(spot.left, spot.left + spot.width)

    @property
    def normalised_box(self) -> tuple[float, float, float, float]:
        """Tight around the amodal mask: x1, y1, x2, y2 in 0..1."""
        height, width = self.mask.shape
        rows = np.flatnonzero(self.mask.any(axis=1))
        columns = np.flatnonzero(self.mask.any(axis=0))
        return (
            float(columns[0] / width),
            float(rows[0] / height),
            float((columns[-1] + 1) / width),
            float((rows[-1] + 1) / height),
        )


def composite(background_HWC: np.ndarray, placed: Sequence[PlacedObject]) -> np.ndarray:
    """Put premultiplied objects over a float background, back to front; rounds once, to uint8, at the end."""
    canvas_HWC = background_HWC.copy()
    for item in placed:
        if item.shadow is not None:
            canvas_HWC[item.shadow[0]] *= 1 - item.shadow[1]
        rows, columns = item.window
        premultiplied_HWC = item.pixels[..., :3].astype(np.float32)
        transmitted_HW1 = 1 - item.pixels[..., 3:].astype(np.float32) / 255
        canvas_HWC[rows, columns] = premultiplied_HWC + transmitted_HW1 * canvas_HWC[rows, columns]
    image_HWC: np.ndarray = np.rint(canvas_HWC).astype(np.uint8)
    return image_HWC
