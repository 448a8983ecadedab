"""The packaged objects: their pictures, in their own and in other colours, and their words."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from occlusionformer.data.world.colours import OBJECT_COLOURS, recolour

ART_LICENSE = "MIT"
"""Of the pictures and words, and so of the scenes drawn with them."""
VISIBLE_ALPHA = 8
"""Fainter pixels (out of 255) are noise and do not widen a crop."""
LEVELS = 3
"""Each picture is kept at its own size and halved so often less one: shrinking by more than half loses detail."""
KEPT_VARIANTS = 2600
"""Pictures kept ready: all there are, 0.24 MB each on average."""


@dataclass(frozen=True, kw_only=True)
class WorldObject:
    """One object a scene can contain."""

    name: str
    hexcode: str
    category: str
    synonyms: tuple[str, ...]
    adjectives: tuple[str, ...]
    tags: tuple[str, ...]
    recolourable: bool
    folder: Path = field(repr=False, compare=False)

    def levels(self, colour: str | None = None) -> tuple[Image.Image, ...]:
        """The cropped picture, premultiplied (mode RGBa), largest first; `colour` is one of OBJECT_COLOURS."""
        return _levels(os.path.join(self.folder, f"{self.hexcode}.webp"), colour)

    def resized(self, width: int, height: int, colour: str | None = None) -> np.ndarray:
        """At so many pixels, (H, W, 4) uint8, premultiplied."""
        levels = self.levels(colour)
        fitting = [level for level in levels if level.width >= width and level.height >= height]
        shrunk = (fitting or levels[:1])[-1].resize((width, height), Image.Resampling.BICUBIC)
        pixels = np.array(shrunk)
        # Bicubic overshoot can lift a premultiplied colour above its alpha, and the composite above white.
        np.minimum(pixels[..., :3], pixels[..., 3:], out=pixels[..., :3])
        return pixels

    @property
    def aspect(self) -> float:
        """Width over height."""
        picture = self.levels()[0]
        return picture.width / picture.height

    def glimpse(self, side: int, colour: str | None = None) -> np.ndarray:
        """Stretched to a square of so many pixels, (H, W, 4) uint8, premultiplied.

        It is recoloured once it is small, in a tenth of the time of `resized`; values differ by one of 255 for most
        objects, by less than ten for all.
        """
        small = self.levels()[-1].resize((side, side), Image.Resampling.BICUBIC).convert("RGBA")
        if colour is not None:
            small = Image.fromarray(recolour(np.array(small), colour), "RGBA")
        return np.array(small.convert("RGBa"))


@dataclass(frozen=True, slots=True)
class Coloured:
    """An object and the colour it has, one of OBJECT_COLOURS; None is its own."""

    item: WorldObject
    colour: str | None

    @property
    def name(self) -> str:
        """Such as "cat", or "black cat" where it has not its own colour."""
        return self.item.name if self.colour is None else f"{self.colour} {self.item.name}"

    @property
    def picture(self) -> Image.Image:
        """Mode RGBa: colours are premultiplied by alpha."""
        return self.item.levels(self.colour)[0]

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.item.aspect

    def resized(self, width: int, height: int) -> np.ndarray:
        """At so many pixels, (H, W, 4) uint8, premultiplied."""
        return self.item.resized(width, height, self.colour)


@dataclass(frozen=True)
class WorldArt:
    """Every object, in a fixed order: the order is part of what makes a scene reproducible."""

    objects: tuple[WorldObject, ...]

    def __len__(self) -> int:
        return len(self.objects)

    def named(self, name: str) -> WorldObject:
        for item in self.objects:
            if item.name == name:
                return item
        raise ValueError(f"name: expected one of the {len(self)} packaged objects, got {name!r}")

    def in_colours(self) -> tuple[Coloured, ...]:
        """Every object in its own and in every other colour it may have."""
        return tuple(
            Coloured(item, colour)
            for item in self.objects
            for colour in (None, *(OBJECT_COLOURS if item.recolourable else ()))
        )


@lru_cache(maxsize=1)
def world_art() -> WorldArt:
    """The art that ships with the package; descriptions are read once per process, pictures when first drawn."""
    folder = Path(str(files("occlusionformer.data.world") / "art"))
    described = json.loads((folder / "objects.json").read_text(encoding="utf-8"))
    return WorldArt(
        tuple(
            WorldObject(
                name=entry["name"],
                hexcode=entry["hexcode"],
                category=entry["category"],
                synonyms=tuple(entry["synonyms"]),
                adjectives=tuple(entry["adjectives"]),
                tags=tuple(entry["tags"]),
                recolourable=entry["recolourable"],
                folder=folder,
            )
            for entry in described["objects"]
        )
    )


@lru_cache(maxsize=KEPT_VARIANTS)
def _levels(path: str, colour: str | None) -> tuple[Image.Image, ...]:
    with Image.open(path) as picture:
        whole = picture.convert("RGBA")
    box = whole.getchannel("A").point(lambda alpha: 255 * (alpha >= VISIBLE_ALPHA)).getbbox()
    cropped = whole.crop(box)
    if colour is not None:
        if colour not in OBJECT_COLOURS:
            raise ValueError(f"colour: expected one of {', '.join(OBJECT_COLOURS)}, got {colour!r}")
        cropped = Image.fromarray(recolour(np.array(cropped), colour), "RGBA")
    levels = [cropped.convert("RGBa")]
    for _ in range(LEVELS - 1):
        width, height = (max(1, side // 2) for side in levels[-1].size)
        levels.append(levels[-1].resize((width, height), Image.Resampling.BOX))
    return tuple(levels)
