"""What the judge knows of every object of the art it is given: its picture at any size, and its few main colours.

Arrays: H rows, W columns, C colour channels, K colours of a palette.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from occlusionformer.data.world.layers import OPAQUE
from occlusionformer.evaluation.scenes.kept import Kept

PALETTE = 5
"""Colours that stand for an object while the whole picture is searched; the fine fit uses every colour."""
PALETTE_ROUNDS = 8
LEAST_REDUCTION = 3
"""An object is made from a smaller copy of its picture as long as it stays so many times smaller than that."""
STAMP_BYTES, SHEET_BYTES, MATRIX_BYTES = 96 * 2**20, 96 * 2**20, 32 * 2**20
"""Memory for what may be asked for again."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """An object at a size in pixels."""

    painted: np.ndarray
    """(C, H, W) float32 in 0..1: the colour times alpha."""
    alpha: np.ndarray
    """(H, W) float32 in 0..1."""
    clear: np.ndarray
    """(H, W): 1 - alpha."""
    weight: np.ndarray
    """(H, W): how far a pixel is the object's business; fully from a third of its opacity on."""

    @property
    def colour(self) -> np.ndarray:
        """(H, W, C) float32 in 0..1, not premultiplied."""
        colour_CHW: np.ndarray = self.painted / np.maximum(self.alpha, 1 / 255)
        return np.ascontiguousarray(colour_CHW.transpose(1, 2, 0))

    @property
    def tight(self) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of the part that is more than half opaque; None if there is none."""
        solid = self.alpha >= OPAQUE / 255
        columns, rows = np.flatnonzero(solid.any(axis=0)), np.flatnonzero(solid.any(axis=1))
        if not len(columns):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class Depicted(Protocol):
    """An object of some artwork; an object in another colour is another one, under a name of its own."""

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


class Art(Protocol):
    """Some artwork."""

    @property
    def objects(self) -> Sequence[Depicted]:
        """All that a place can be said to show."""
        ...

    def named(self, name: str) -> Depicted:
        """Raises ValueError for a name that is not of this art."""
        ...

    def in_colours(self, name: str) -> Mapping[str, str]:
        """The names of the same object in all its colours, each with the word for that colour; empty if it has one."""
        ...


class Stamps:
    """The objects of some artwork at any size."""

    def __init__(self, art: Art) -> None:
        self.art = art
        self._items = {item.name: item for item in art.objects}
        self._sheets: Kept[np.ndarray] = Kept(SHEET_BYTES, lambda one: one.nbytes)
        self._stamps: Kept[Stamp] = Kept(STAMP_BYTES, lambda one: 6 * one.alpha.nbytes)
        self._matrices: Kept[np.ndarray] = Kept(MATRIX_BYTES, lambda one: one.nbytes)

    def named(self, name: str) -> Depicted:
        """Raises ValueError for a name that is not of this art."""
        return self._items[name] if name in self._items else self.art.named(name)

    def stamp(self, name: str, width: int, height: int, softness: float = 0.0) -> Stamp:
        """The object resized as a scene resizes it; `softness` is the radius in pixels of a blur after that."""
        return self._stamps.get((name, width, height, softness), lambda: self._make(name, width, height, softness))

    def _make(self, name: str, width: int, height: int, softness: float) -> Stamp:
        picture = self.named(name).picture
        shrunk = 1
        while min(picture.width / width, picture.height / height) >= 2 * shrunk * LEAST_REDUCTION:
            shrunk *= 2
        sheet_CHW = self._sheets.get((name, shrunk), lambda: _sheet(picture, shrunk))
        across = self._matrix(sheet_CHW.shape[2], width, softness)
        down = self._matrix(sheet_CHW.shape[1], height, softness)
        planes_CHW = down @ (sheet_CHW @ across.T)
        np.clip(planes_CHW, 0, 1, out=planes_CHW)
        alpha_HW = planes_CHW[3]
        return Stamp(
            painted=np.minimum(planes_CHW[:3], alpha_HW),
            alpha=alpha_HW,
            clear=1 - alpha_HW,
            weight=np.minimum(3 * alpha_HW, 1),
        )

    def _matrix(self, length: int, size: int, softness: float) -> np.ndarray:
        return self._matrices.get((length, size, softness), lambda: _resampling(length, size, softness))


def _sheet(picture: Image.Image, shrunk: int) -> np.ndarray:
    """(4, H, W): an object as in the art, or so many times smaller: red, green and blue times alpha, and alpha."""
    pixels_HWC = np.asarray(picture if shrunk == 1 else picture.reduce(shrunk), dtype=np.float32) / 255
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1))


def _resampling(length: int, size: int, softness: float) -> np.ndarray:
    """(size, length): resizes one side as Pillow's bicubic does, then blurs it together with the emptiness around it.

    Two products of matrices make a stamp several times as fast as Pillow's own resizing and blurring.
    """
    scale = length / size
    centres = (np.arange(size) + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / max(scale, 1.0)
    near, far = 1.5 * distance**3 - 2.5 * distance**2 + 1, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    resized = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    resized /= resized.sum(axis=1, keepdims=True)
    if softness:
        reach = np.arange(-math.ceil(4 * softness) - size, math.ceil(4 * softness) + size + 1)
        whole = np.exp(-0.5 * (reach / softness) ** 2).sum()
        apart = np.arange(size) - np.arange(size)[:, None]
        resized = np.exp(-0.5 * (apart / softness) ** 2) / whole @ resized
    return resized.astype(np.float32)


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
