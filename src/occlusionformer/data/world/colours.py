"""Colour words, the OKLab space they are measured in, and objects in other colours than their own.

OKLab: Björn Ottosson, "A perceptual color space for image processing" (2020); lightness 0..1, a and b about -0.4..0.4.
Arrays: H rows, W columns, P pixels, C channels.
"""

from __future__ import annotations

import numpy as np

OBJECT_COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 48),
    "orange": (242, 132, 34),
    "yellow": (247, 208, 50),
    "green": (58, 160, 72),
    "teal": (24, 156, 156),
    "blue": (44, 108, 218),
    "purple": (126, 66, 190),
    "pink": (244, 128, 178),
    "brown": (134, 84, 50),
    "white": (238, 238, 240),
    "grey": (142, 144, 150),
    "black": (44, 42, 48),
}
"""sRGB of what a recoloured object's main colour becomes on average."""

SATURATED = 0.05
"""Chroma from which a pixel has a hue at all."""
HUE_REACH = 0.55
"""Pixels whose hue is within this angle (radians) of the object's main hue are recoloured; half as much more fades."""
CONTRAST = {"black": 0.45, "white": 0.45, "brown": 0.7}
"""Share of the shading's lightness that is kept; dark and light colours have little room for it."""

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in 0..255 as shares of light."""
    value = np.asarray(srgb, dtype=np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_LINEAR_OF_BYTE = _linear(np.arange(256))


def oklab(srgb_PC: np.ndarray) -> np.ndarray:
    """sRGB in 0..255 as OKLab, (..., 3)."""
    srgb_PC = np.asarray(srgb_PC)
    linear = _LINEAR_OF_BYTE[srgb_PC] if srgb_PC.dtype == np.uint8 else _linear(srgb_PC)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def srgb(oklab_PC: np.ndarray) -> np.ndarray:
    """OKLab as sRGB in 0..255, cut to what sRGB can show, (..., 3)."""
    linear = np.clip((oklab_PC @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def nearest_colour(srgb_C: np.ndarray) -> str:
    """The colour word that a colour is nearest to, in OKLab."""
    names = list(OBJECT_COLOURS)
    known = oklab(np.array([OBJECT_COLOURS[name] for name in names]))
    return names[int(np.argmin(np.linalg.norm(known - oklab(srgb_C), axis=-1)))]


def main_share(rgba_HWC: np.ndarray) -> np.ndarray:
    """How much (0..1) every pixel of an object belongs to its main colour, (H, W).

    The main colour is the hue that most chroma lies at; an object of greys has the greys for it.
    """
    rgba_PC = rgba_HWC.reshape(-1, 4)
    return _main_share(oklab(rgba_PC[:, :3]), rgba_PC[:, 3] / 255).reshape(rgba_HWC.shape[:2])


def _main_share(lab_PC: np.ndarray, alpha_P: np.ndarray) -> np.ndarray:
    chroma = np.hypot(lab_PC[:, 1], lab_PC[:, 2])
    coloured = alpha_P * (chroma > SATURATED)
    if coloured.sum() < 0.35 * alpha_P.sum():
        return np.clip(2 - chroma / SATURATED, 0, 1)
    hue = np.arctan2(lab_PC[:, 2], lab_PC[:, 1])
    weight, edges = np.histogram(hue, bins=72, range=(-np.pi, np.pi), weights=coloured * chroma)
    smooth = sum(np.roll(weight, shift) for shift in range(-4, 5))
    main = edges[int(np.argmax(smooth))] + np.pi / 72
    apart = np.abs(hue - main)
    apart = np.minimum(apart, 2 * np.pi - apart)
    near = np.clip(2 - apart / HUE_REACH, 0, 1)
    return np.minimum(near * 1.5, 1) * np.clip(chroma / SATURATED - 0.3, 0, 1)


def recolour(rgba_HWC: np.ndarray, colour: str) -> np.ndarray:
    """The object with its main colour turned into another, its shading kept; uint8, not premultiplied, (H, W, 4)."""
    seen_HW = rgba_HWC[..., 3] > 0
    seen_PC = rgba_HWC[seen_HW]
    lab, alpha = oklab(seen_PC[:, :3]), seen_PC[:, 3] / 255
    share = _main_share(lab, alpha)
    weight = share * alpha
    mean = weight @ lab / max(weight.sum(), 1e-9)
    changed = share > 0
    lab, share = lab[changed], share[changed]
    target = oklab(np.array(OBJECT_COLOURS[colour]))
    light = target[0] + (lab[:, 0] - mean[0]) * CONTRAST.get(colour, 0.9)
    mean_chroma = float(np.hypot(mean[1], mean[2]))
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    strength = np.clip(chroma / mean_chroma, 0.6, 1.3) if mean_chroma > SATURATED else np.ones_like(chroma)
    new = np.stack([light, target[1] * strength, target[2] * strength], -1)
    seen_PC[changed, :3] = np.rint(srgb(lab + share[:, None] * (new - lab)))
    result = rgba_HWC.copy()
    result[seen_HW] = seen_PC
    return result
