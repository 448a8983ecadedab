"""Cuts square windows out of a picture and its masks, the input of the small networks.

Arrays: H rows, W columns, C channels, S side of a window after scaling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Window:
    """A square of pixels that may reach beyond the picture."""

    left: int
    top: int
    side: int

    @classmethod
    def around(cls, box: tuple[int, int, int, int], *, margin: float) -> Window:
        """The square about a box (x1, y1, x2, y2), wider by a share of its longer side."""
        x1, y1, x2, y2 = box
        side = max(8, round(max(x2 - x1, y2 - y1) * (1 + margin)))
        return cls(left=(x1 + x2 - side) // 2, top=(y1 + y2 - side) // 2, side=side)

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.left + self.side, self.top + self.side


def crop(image_HWC: np.ndarray, masks: Sequence[np.ndarray], *, window: Window, side: int) -> np.ndarray:
    """Colours in -1..1 and masks in 0..1 of a window, channels last: (S, S, 3 + masks) float32.

    Beyond the picture everything is 0, which is also how far from light and dark mid-grey is.
    """
    size = (side, side)
    seen = np.zeros((*size, 3 + len(masks)), dtype=np.float32)
    colours = np.asarray(Image.fromarray(image_HWC).crop(window.corners).resize(size, Image.Resampling.BILINEAR))
    inside = Image.new("L", (image_HWC.shape[1], image_HWC.shape[0]), 255).crop(window.corners)
    share_SS = np.asarray(inside.resize(size, Image.Resampling.BILINEAR), dtype=np.float32) / 255
    seen[..., :3] = colours.astype(np.float32) / 127.5 - share_SS[..., None]
    for channel, mask_HW in enumerate(masks, start=3):
        shrunk = Image.fromarray(mask_HW.astype(np.uint8) * 255).crop(window.corners)
        seen[..., channel] = np.asarray(shrunk.resize(size, Image.Resampling.BILINEAR), dtype=np.float32) / 255
    return seen


def uncrop(values_SS: np.ndarray, *, window: Window, height: int, width: int) -> np.ndarray:
    """A map of a window, scaled back to its place in a picture; 0 elsewhere: (H, W) float32."""
    scaled = Image.fromarray(values_SS.astype(np.float32)).resize((window.side, window.side), Image.Resampling.BILINEAR)
    found_HW = np.zeros((height, width), dtype=np.float32)
    left, top, right, bottom = window.corners
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    found_HW[y1:y2, x1:x2] = np.asarray(scaled)[y1 - top : y2 - top, x1 - left : x2 - left]
    return found_HW
