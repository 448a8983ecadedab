"""The packaged objects as a judge knows them: every colour of an object has a name and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np

from occlusionformer.data.world.artwork import Coloured, WorldArt, WorldObject, world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS, main_share, nearest_colour


@dataclass(frozen=True)
class ColouredArt:
    """Every object in every colour it may have."""

    art: WorldArt

    @cached_property
    def objects(self) -> Sequence[Coloured]:
        """All in their own colours, among which it is told what a place shows."""
        return tuple(Coloured(item, None) for item in self.art.objects)

    @cached_property
    def _by_name(self) -> Mapping[str, Coloured]:
        return {one.name: one for one in self.art.in_colours()}

    def named(self, name: str) -> Coloured:
        """Raises ValueError for an unknown name."""
        if name not in self._by_name:
            raise ValueError(f"name: expected one of the packaged objects, perhaps with a colour, got {name!r}")
        return self._by_name[name]

    def in_colours(self, name: str) -> Mapping[str, str]:
        """The names of the same object in all its colours, each with the word for that colour; empty if it has one.

        The word for an object's own colour is the nearest of all colour words: an orange cat may be its own colour.
        """
        item = self.named(name).item
        if not item.recolourable:
            return {}
        return {Coloured(item, colour).name: colour or _own_colour(item) for colour in _colours(item)}


def _colours(item: WorldObject) -> tuple[str | None, ...]:
    return (None, *OBJECT_COLOURS) if item.recolourable else (None,)


@cache
def _own_colour(item: WorldObject) -> str:
    """The word for the mean of the pixels that recolouring changes."""
    premultiplied_HWC = np.asarray(item.levels()[-1], dtype=np.float64)
    alpha_HW1 = np.maximum(premultiplied_HWC[..., 3:], 1) / 255
    rgba_HWC = np.concatenate([np.clip(premultiplied_HWC[..., :3] / alpha_HW1, 0, 255), premultiplied_HWC[..., 3:]], -1)
    weight_HW = main_share(rgba_HWC) * rgba_HWC[..., 3]
    return nearest_colour((rgba_HWC[..., :3] * weight_HW[..., None]).sum((0, 1)) / max(float(weight_HW.sum()), 1e-9))


@lru_cache(maxsize=1)
def coloured_art() -> ColouredArt:
    """Of the packaged art."""
    return ColouredArt(world_art())
