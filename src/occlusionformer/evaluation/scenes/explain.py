"""How well a picture is explained by what is thought to be in it.

The cost of a pixel rises from 0 (the colour expected) to 1 (another colour); a pixel that nothing claims costs at most
UNCLAIMED, less than one that is claimed wrongly, so that objects are put where they are seen and nowhere else.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from occlusionformer.pictures import as_rgb

SIDE = 128
"""Pictures are judged at this side: the scenes' own, and enough to see what is in front."""
SOFTNESS = 0.18
"""Distance of colours (0..1 per channel, three channels) at which a pixel has lost 39% of its credit."""
UNCLAIMED = 0.6
"""Most that a pixel of which nothing is known may cost."""
BLUR = 0.6
"""Radius in pixels; evens out compression and the last trace of noise."""
ROW_REACH = 3
"""Rows above and below that tell the background of a row."""
ROW_STEP = 2
FEWEST_FREE = 8
"""Pixels a row needs to tell its background; others take their neighbours'."""
SAME_COLOUR = 0.1
"""Distance of colours (three channels, 0..1) within which a background counts as one colour."""


def read_picture(image: Image.Image) -> np.ndarray:
    """(H, W, C) float32 in 0..1, SIDE by SIDE."""
    picture = as_rgb(image)
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(BLUR)), dtype=np.float32) / 255


def shrink(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of pixels: (H, W) or (H, W, C)."""
    total = values[::factor, ::factor].copy()
    for row, column in list(np.ndindex(factor, factor))[1:]:
        total += values[row::factor, column::factor]
    return total / np.asarray(factor**2, dtype=values.dtype)


def planes_of(picture_HWC: np.ndarray) -> np.ndarray:
    """(C, H, W), in memory in this order."""
    return np.ascontiguousarray(picture_HWC.transpose(2, 0, 1))


def cost(seen: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """0..1 for colours (..., C): 1 - exp(-d^2 / (2 SOFTNESS^2))."""
    difference = seen - expected
    return 1 - np.exp(np.einsum("...c,...c->...", difference, difference) * (-0.5 / SOFTNESS**2))


def cost_of_planes(seen_CHW: np.ndarray, expected_CHW: np.ndarray) -> np.ndarray:
    """(H, W): the same of pictures whose channels come first, which is several times as fast."""
    difference_CHW = seen_CHW - expected_CHW
    difference_CHW *= difference_CHW
    squared_HW = difference_CHW[0] + difference_CHW[1]
    squared_HW += difference_CHW[2]
    squared_HW *= -0.5 / SOFTNESS**2
    return 1 - np.exp(squared_HW, out=squared_HW)


@dataclass(frozen=True, slots=True)
class Ground:
    """The background as far as it can be told: one colour per row."""

    rows: np.ndarray
    """(H, C)."""

    def cost(self, picture_HWC: np.ndarray) -> np.ndarray:
        """(H, W), at most UNCLAIMED."""
        return np.minimum(cost(picture_HWC, self.rows[:, None]), UNCLAIMED)

    def shrunk(self, factor: int) -> Ground:
        return Ground(self.rows.reshape(-1, factor, 3).mean(axis=1))


def first_ground(picture_HWC: np.ndarray) -> Ground:
    """The most frequent colour of every row and its neighbours, before any object is known."""
    return _frequent(picture_HWC, np.ones(picture_HWC.shape[:2], dtype=bool))


def ground_around(picture_HWC: np.ndarray, claimed_HW: np.ndarray) -> Ground:
    """The most frequent colour of what no object claims; rows that are claimed whole take their neighbours'."""
    return _frequent(picture_HWC, ~claimed_HW)


def _frequent(picture_HWC: np.ndarray, free_HW: np.ndarray) -> Ground:
    height = len(picture_HWC)
    rows_HC = np.full((height, 3), np.nan, dtype=np.float32)
    for row in range(0, height, ROW_STEP):
        window = slice(max(0, row - ROW_REACH), row + ROW_REACH + 1)
        colours_PC = picture_HWC[window][free_HW[window]]
        if len(colours_PC) >= FEWEST_FREE:
            rows_HC[row] = _mode(colours_PC)
    known = np.flatnonzero(~np.isnan(rows_HC[:, 0]))
    if not len(known):
        return Ground(np.broadcast_to(picture_HWC.mean(axis=(0, 1)), (height, 3)).astype(np.float32))
    for channel in range(3):
        rows_HC[:, channel] = np.interp(np.arange(height), known, rows_HC[known, channel])
    return Ground(rows_HC)


def _mode(colours_PC: np.ndarray) -> np.ndarray:
    """Mean of the colours around the one that most others are near."""
    tried_TC = colours_PC[:: max(1, len(colours_PC) // 32)]
    compared_PC = colours_PC[:: max(1, len(colours_PC) // 128)]
    squared_TP = (tried_TC**2).sum(1)[:, None] - 2 * tried_TC @ compared_PC.T + (compared_PC**2).sum(1)
    crowd_T = (squared_TP < SAME_COLOUR**2).sum(axis=1)
    near_P = ((colours_PC - tried_TC[crowd_T.argmax()]) ** 2).sum(1) < SAME_COLOUR**2
    mean_C: np.ndarray = colours_PC[near_P].mean(axis=0)
    return mean_C
