"""Simple named backgrounds: plain colours, gradients and soft two-tone fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (246, 246, 246),
    "light grey": (200, 202, 206),
    "dark grey": (84, 88, 96),
    "black": (24, 24, 28),
    "red": (206, 70, 70),
    "orange": (240, 160, 80),
    "yellow": (246, 222, 110),
    "green": (110, 180, 110),
    "mint": (178, 232, 206),
    "teal": (60, 150, 150),
    "light blue": (168, 212, 244),
    "blue": (80, 120, 210),
    "navy": (34, 48, 96),
    "purple": (140, 104, 190),
    "lavender": (208, 196, 238),
    "pink": (246, 182, 206),
    "beige": (232, 216, 188),
    "brown": (134, 98, 72),
}
JITTER = 8
"""A colour's channels vary by up to this much out of 255, so that its name stays a range rather than a point."""
SOFTEN = 0.45
"""How far a soft background fades towards white."""


@dataclass(frozen=True)
class Background:
    """Pixels of a scene before anything is put on it, and the words for them."""

    pixels: np.ndarray
    """(H, W, C) float32 in 0..255."""
    prompt: str


def make_background(size: int, rng: np.random.Generator) -> Background:
    """A random background of `size` by `size` pixels."""
    kind = rng.choice(["plain", "soft", "gradient", "two-tone"], p=[0.4, 0.25, 0.2, 0.15])
    first, second = rng.choice(list(COLOURS), size=2, replace=False)
    above, below = _colour(first, rng), _colour(second, rng)
    if kind == "plain":
        return Background(_column(above, above, np.zeros(size)), f"a plain {first} background")
    ramp = np.linspace(0, 1, size)
    if kind == "soft":
        paler = above + (255 - above) * SOFTEN
        return Background(_column(above, paler, ramp), f"a soft {first} background")
    if kind == "gradient":
        return Background(_column(above, below, ramp), f"a gradient from {first} to {second}")
    edge, softness = rng.uniform(0.4, 0.75), rng.uniform(0.01, 0.06)
    blend = 0.5 + 0.5 * np.tanh((ramp - edge) / softness)
    return Background(_column(above, below, blend), f"a two-tone background, {first} above {second}")


def _colour(name: str, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.array(COLOURS[name]) + rng.uniform(-JITTER, JITTER, size=3), 0, 255)


def _column(above: np.ndarray, below: np.ndarray, blend_H: np.ndarray) -> np.ndarray:
    """Rows running from one colour to another, as wide as they are high."""
    rows_HC = above + (below - above) * blend_H[:, None]
    size = len(blend_H)
    return np.broadcast_to(rows_HC[:, None], (size, size, 3)).astype(np.float32)
