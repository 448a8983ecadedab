"""The packaged object art: pictures with alpha, their names, synonyms and adjectives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from PIL import Image


@dataclass(frozen=True, kw_only=True)
class ArtObject:
    """One object a scene can contain."""

    name: str
    hexcode: str
    label: str
    category: str
    synonyms: tuple[str, ...]
    adjectives: tuple[str, ...]
    tags: tuple[str, ...]
    picture: Image.Image
    """Mode RGBa: colours are premultiplied by alpha, so it may be resized as it is."""

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.picture.width / self.picture.height


@dataclass(frozen=True)
class Artwork:
    """Every object, in a fixed order: the order is part of what makes a scene reproducible."""

    objects: tuple[ArtObject, ...]

    def __len__(self) -> int:
        return len(self.objects)

    def named(self, name: str) -> ArtObject:
        for item in self.objects:
            if item.name == name:
                return item
        raise ValueError(f"name: expected one of the packaged objects, got {name!r}")


@lru_cache(maxsize=1)
def packaged_art() -> Artwork:
    """The art that ships with the package; read once per process."""
    folder = files("occlusionformer.data") / "art"
    described = json.loads((folder / "objects.json").read_text(encoding="utf-8"))
    with (folder / "atlas.webp").open("rb") as stream:
        atlas = Image.open(stream).convert("RGBA").convert("RGBa")
    return Artwork(tuple(_read_object(entry, atlas) for entry in described["objects"]))


def _read_object(entry: dict[str, Any], atlas: Image.Image) -> ArtObject:
    x, y, width, height = entry["rectangle"]
    return ArtObject(
        name=entry["name"],
        hexcode=entry["hexcode"],
        label=entry["label"],
        category=entry["category"],
        synonyms=tuple(entry["synonyms"]),
        adjectives=tuple(entry["adjectives"]),
        tags=tuple(entry["tags"]),
        picture=atlas.crop((x, y, x + width, y + height)),
    )
