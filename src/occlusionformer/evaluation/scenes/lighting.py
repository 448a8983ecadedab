"""The light a picture was taken in: a gain and an offset for every channel, the same all over the picture.

A picture that is darker, brighter or tinted shows the same objects in the same order. The judge finds out by how much,
within bounds, and judges the picture as if that were undone. A colour that no such light explains stays wrong.

Arrays: H rows, W columns, C colour channels, P pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from occlusionformer.evaluation.scenes.ground import frequent_colour

LEAST_GAIN, MOST_GAIN = 0.45, 1.8
"""Bounds of the gain of a channel."""
MOST_CAST = 1.45
"""Bound of the ratio between the gain of a channel and the geometric mean of all three, either way."""
MOST_OFFSET = 0.2
SATURATED = 1.5 / 255
"""A channel this near to either end says only that it is at least, or at most, so bright."""
GAIN_PRIOR, OFFSET_PRIOR = 0.002, 0.02
"""Weights of no change, against one for the mean squared error of all pixels."""
DOUBTS = (0.2, 0.2, 0.15, 0.1, 0.1, 0.1)
"""Distances of colours (0..1, three channels) at which a pixel has lost 39% of its say, in every round of weighting
pixels by how well they fit, and fitting again."""
GLOBAL_GAINS = (0.6, 0.75, 1.3)
"""Lights that are tried whatever the background says."""
LEAST_BACKGROUND = 0.1
"""Share of the picture that has to be a light of the declared background, for that light to be tried."""


@dataclass(frozen=True)
class Lighting:
    """seen = gain * declared + offset, cut off at 0 and 1."""

    gain: np.ndarray = field(default_factory=lambda: np.ones(3, dtype=np.float32))
    """(C,)."""
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3, dtype=np.float32))
    """(C,)."""

    def on(self, colours: np.ndarray) -> np.ndarray:
        """Colours (..., C) as they are seen in this light."""
        return np.clip(colours * self.gain + self.offset, 0, 1)

    def undone(self, seen: np.ndarray) -> np.ndarray:
        """Colours (..., C) as they would be seen in the declared light; what was cut off stays cut off."""
        restored: np.ndarray = (seen - self.offset) / self.gain
        return restored

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(C,) the darkest and the brightest declared colour that can be told; None if all can."""
        darkest, brightest = self.undone(np.zeros(3, np.float32)), self.undone(np.ones(3, np.float32))
        if (darkest <= 0).all() and (brightest >= 1).all():
            return None
        return darkest, brightest

    def differs(self, other: Lighting) -> float:
        """The greatest difference that it makes to black or to white, 0..1."""
        dark, bright = self.offset - other.offset, self.gain + self.offset - other.gain - other.offset
        return float(max(np.abs(dark).max(), np.abs(bright).max()))


def candidates(seen_HWC: np.ndarray, background_HWC: np.ndarray | None) -> list[Lighting]:
    """Lights worth trying before any object is known; the first is the declared one."""
    found = [Lighting()]
    if background_HWC is not None:
        light = _of_background(seen_HWC, background_HWC)
        if light is not None:
            found.append(light)
    return found + [Lighting(np.full(3, gain, dtype=np.float32)) for gain in GLOBAL_GAINS]


def estimate(seen_PC: np.ndarray, expected_PC: np.ndarray, weight_P: np.ndarray, start: Lighting) -> Lighting:
    """The light in which the expected colours are seen as they are, from pixels of which some may be something else."""
    light = start
    open_PC = (seen_PC > SATURATED) & (seen_PC < 1 - SATURATED)
    for doubt in DOUBTS:
        off_PC = seen_PC - light.on(expected_PC)
        trust_P = weight_P * np.exp((off_PC**2).sum(axis=1) * (-0.5 / doubt**2))
        light = _bounded(*_solved(seen_PC, expected_PC, trust_P[:, None] * open_PC))
    return light


def _of_background(seen_HWC: np.ndarray, background_HWC: np.ndarray) -> Lighting | None:
    """The light in which most of the picture is the declared background."""
    step = max(1, len(seen_HWC) // 64)
    seen_PC = seen_HWC[::step, ::step].reshape(-1, 3)
    declared_PC = background_HWC[::step, ::step].reshape(-1, 3)
    ratio_PC = (seen_PC + SATURATED) / (declared_PC + SATURATED)
    common_C, crowd = frequent_colour(ratio_PC)
    light = _bounded(common_C, np.zeros(3))
    if crowd < LEAST_BACKGROUND:
        return None
    return estimate(seen_PC, declared_PC, np.ones(len(seen_PC)), light)


def _solved(seen_PC: np.ndarray, expected_PC: np.ndarray, weight_PC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C,) gain and (C,) offset within its bounds: least squares, drawn to no change where pixels say little."""
    total_C = weight_PC.sum(axis=0) + 1e-6
    share_PC = weight_PC / total_C
    change_PC = seen_PC - expected_PC
    square_C, first_C = (share_PC * expected_PC**2).sum(axis=0) + GAIN_PRIOR, (share_PC * expected_PC).sum(axis=0)
    with_C, alone_C = (share_PC * expected_PC * change_PC).sum(axis=0), (share_PC * change_PC).sum(axis=0)
    determinant_C = square_C * (1 + OFFSET_PRIOR) - first_C**2
    offset_C = np.clip((square_C * alone_C - first_C * with_C) / determinant_C, -MOST_OFFSET, MOST_OFFSET)
    return 1 + (with_C - first_C * offset_C) / square_C, offset_C


def _bounded(gain_C: np.ndarray, offset_C: np.ndarray) -> Lighting:
    gain_C = np.clip(gain_C, LEAST_GAIN, MOST_GAIN)
    middle = np.exp(np.log(gain_C).mean())
    gain_C = np.clip(gain_C, middle / MOST_CAST, middle * MOST_CAST)
    return Lighting(gain_C.astype(np.float32), offset_C.astype(np.float32))
