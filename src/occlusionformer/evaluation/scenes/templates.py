"""What the judge knows of every object: its picture at any size, and its few main colours.

Arrays: H rows, W columns, C colour channels, K colours of a palette.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.placement import OPAQUE

PALETTE = 5
"""Colours that stand for an object while the whole picture is searched; the fine fit uses every colour."""
PALETTE_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Stamp:
    """An object at a size in pixels."""

    colour: np.ndarray
    """(H, W, C) float32 in 0..1, not premultiplied."""
    alpha: np.ndarray
    """(H, W) float32 in 0..1."""

    @property
    def tight(self) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of the part that is more than half opaque; None if there is none."""
        solid = self.alpha >= OPAQUE / 255
        columns, rows = np.flatnonzero(solid.any(axis=0)), np.flatnonzero(solid.any(axis=1))
        if not len(columns):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@lru_cache(maxsize=4096)
def stamp(name: str, width: int, height: int, softness: float = 0.0) -> Stamp:
    """The object resized as a scene resizes it; `softness` is the radius in pixels of a Gaussian blur after that."""
    picture = packaged_art().named(name).picture.resize((width, height), Image.Resampling.BICUBIC)
    if softness:
        picture = _blurred(picture, softness)
    pixels_HWC = np.asarray(picture, dtype=np.float32) / 255
    alpha_HW = pixels_HWC[..., 3]
    premultiplied_HWC = np.minimum(pixels_HWC[..., :3], alpha_HW[..., None])
    return Stamp(premultiplied_HWC / np.maximum(alpha_HW, 1 / 255)[..., None], alpha_HW)


def _blurred(picture: Image.Image, radius: float) -> Image.Image:
    """Blurred together with the emptiness around it, and cut back to its size."""
    margin = math.ceil(2 * radius)
    padded = Image.new("RGBa", (picture.width + 2 * margin, picture.height + 2 * margin))
    padded.paste(picture, (margin, margin))
    channels = [band.filter(ImageFilter.GaussianBlur(radius)) for band in padded.split()]
    return Image.merge("RGBa", channels).crop((margin, margin, margin + picture.width, margin + picture.height))


def palette(shown: Stamp) -> np.ndarray:
    """(K, C): the main colours of an object, weighted by opacity; the same every time."""
    colours_PC = shown.colour.reshape(-1, 3)
    weight_P = shown.alpha.reshape(-1)
    centres_KC = _spread(colours_PC[weight_P > 0.5])
    for _ in range(PALETTE_ROUNDS):
        nearest_P = _nearest(colours_PC, centres_KC)
        for place in range(len(centres_KC)):
            share_P = weight_P * (nearest_P == place)
            if share_P.sum() > 0:
                centres_KC[place] = share_P @ colours_PC / share_P.sum()
    return centres_KC


def layers(shown: Stamp, colours_KC: np.ndarray) -> np.ndarray:
    """(K, H, W): the opacity of a stamp, each pixel in the layer of its nearest colour."""
    nearest_HW = _nearest(shown.colour.reshape(-1, 3), colours_KC).reshape(shown.alpha.shape)
    return np.where(nearest_HW == np.arange(len(colours_KC))[:, None, None], shown.alpha, 0).astype(np.float32)


def _nearest(colours_PC: np.ndarray, centres_KC: np.ndarray) -> np.ndarray:
    distance_PK = (centres_KC**2).sum(1) - 2 * colours_PC @ centres_KC.T
    return distance_PK.argmin(axis=1)


def _spread(colours_PC: np.ndarray) -> np.ndarray:
    """Start from the mean colour, then always add the colour farthest from those chosen."""
    chosen = [colours_PC[((colours_PC - colours_PC.mean(axis=0)) ** 2).sum(1).argmin()]]
    while len(chosen) < PALETTE:
        distance_P = np.min([((colours_PC - colour) ** 2).sum(1) for colour in chosen], axis=0)
        chosen.append(colours_PC[distance_P.argmax()])
    return np.array(chosen, dtype=np.float32)
