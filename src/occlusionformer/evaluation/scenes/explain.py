"""How well a picture is explained by what is thought to be in it.

The cost of a pixel rises from 0 (the colour expected) to 1 (another colour); a pixel that nothing claims costs at most
UNCLAIMED, less than one that is claimed wrongly, so that objects are put where they are seen and nowhere else.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from occlusionformer.pictures import as_rgb

SOFTNESS = 0.18
"""Distance of colours (0..1 per channel, three channels) at which a pixel has lost 39% of its credit."""
UNCLAIMED = 0.6
"""Most that a pixel of which nothing is known may cost."""
BLUR = 0.6
"""Radius in pixels of the blur that a picture is read with; evens out compression and the last trace of noise."""


def values_of(image: Image.Image, size: tuple[int, int], blur: float = BLUR) -> np.ndarray:
    """(H, W, C) float32 in 0..1 of this width and height."""
    picture = as_rgb(image)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if blur:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(picture, dtype=np.float32) / 255


def shrink(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of pixels: (H, W) or (H, W, C), whose sides the factor divides."""
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
