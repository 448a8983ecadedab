"""Objects at their places on a canvas, and how they are put over a background.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from occlusionformer.data.world.artwork import Coloured

OPAQUE = 128
"""Alpha out of 255 from which a pixel counts as covered: the least above one half."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels from (left, top) inclusive."""

    left: int
    top: int
    width: int
    height: int


Shadow: TypeAlias = "tuple[tuple[slice, slice], np.ndarray]"
"""Rows and columns, and how much (H, W, 1), 0..1, a shadow takes of the light there."""


@dataclass(frozen=True)
class PlacedObject:
    """An object at its place on the canvas."""

    item: Coloured
    rectangle: Rectangle
    pixels: np.ndarray
    """(H, W, 4) uint8, premultiplied colour and alpha, of the rectangle alone."""
    opaque: np.ndarray
    """(H, W) bool, the amodal mask inside the rectangle."""
    canvas: tuple[int, int]
    """Height and width in pixels."""
    shadow: Shadow | None = None
    """What it casts on whatever is behind it."""

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the rectangle."""
        spot = self.rectangle
        return slice(spot.top, spot.top + spot.height), slice(spot.left, spot.left + spot.width)

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool, the amodal mask on the whole canvas."""
        mask_HW = np.zeros(self.canvas, dtype=bool)
        mask_HW[self.window] = self.opaque
        return mask_HW

    @property
    def normalised_box(self) -> tuple[float, float, float, float]:
        """Tight around the amodal mask: x1, y1, x2, y2 in 0..1."""
        height, width = self.canvas
        rows, columns = np.flatnonzero(self.opaque.any(axis=1)), np.flatnonzero(self.opaque.any(axis=0))
        left, top = self.rectangle.left, self.rectangle.top
        return (
            float((left + columns[0]) / width),
            float((top + rows[0]) / height),
            float((left + columns[-1] + 1) / width),
            float((top + rows[-1] + 1) / height),
        )


def composite(background_HWC: np.ndarray, placed: Sequence[PlacedObject]) -> np.ndarray:
    """Put shadows and objects over a float background, back to front; rounds once, to uint8, at the end."""
    canvas_HWC = background_HWC.copy()
    for item in placed:
        if item.shadow is not None:
            canvas_HWC[item.shadow[0]] *= 1 - item.shadow[1]
        pixels_HWC = item.pixels.astype(np.float32)
        under_HWC = canvas_HWC[item.window]
        under_HWC *= 1 - pixels_HWC[..., 3:] / 255
        under_HWC += pixels_HWC[..., :3]
    image_HWC: np.ndarray = np.rint(canvas_HWC, out=canvas_HWC).astype(np.uint8)
    return image_HWC


def visible_masks(placed: Sequence[PlacedObject]) -> list[np.ndarray]:
    """What is left of each amodal mask once those in front of it are taken away; objects back to front."""
    if not placed:
        return []
    free_HW = np.ones(placed[0].canvas, dtype=bool)
    visible: list[np.ndarray] = []
    for item in reversed(placed):
        visible.append(item.mask & free_HW)
        free_HW &= ~item.mask
    return visible[::-1]
