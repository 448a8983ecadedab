"""The worlds that benchmark layouts are drawn in: their objects, what may be asked of them, and how they are placed.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, get_args

import numpy as np

from occlusionformer.data.arranging import Arrangement, arrange
from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.backgrounds import make_background
from occlusionformer.data.placement import PlacedObject
from occlusionformer.data.scenes import SceneSpec
from occlusionformer.data.words import caption
from occlusionformer.data.world import backgrounds, captions, placement
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scene import choose_objects
from occlusionformer.data.world.scenes import WorldSpec, choose_coloured
from occlusionformer.evaluation.scenes.coloured import coloured_art
from occlusionformer.evaluation.scenes.templates import Art

WorldName = Literal["first", "second"]
WORLDS: tuple[WorldName, ...] = get_args(WorldName)
"""first: 123 objects on square canvases of 128 pixels; second: 416 objects, many in several colours, scenic
backgrounds, canvases of any shape, usually 256 pixels a side."""
CANVAS: Mapping[WorldName, tuple[int, int]] = {"first": (128, 128), "second": (256, 256)}
"""Usual width and height in pixels."""
PREFIXES: Mapping[WorldName, str] = {"first": "scenes", "second": "world"}
"""What the names of its benchmarks begin with, as in "scenes-complex"."""
JUDGES: Mapping[WorldName, str] = {"first": "art", "second": "art:second"}
"""Who knows its objects."""
CROWDED = 12
"""Above so many instances objects have to be smaller to find room."""
SMALLEST: Mapping[WorldName, tuple[float, float]] = {"first": (0.25, 0.2), "second": (0.22, 0.16)}
"""Least length of an object's longer side as a share of the canvas: usually, and in crowds."""
LARGEST, MIN_VISIBLE, FEW, DUPLICATES = 0.65, 0.25, 1.5, 0.04


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a layout is to have."""

    fewest: int
    most: int
    held_out: bool
    """Of a pair of objects, in words and colours, that training never shows."""
    canvas: tuple[int, int]
    """Width and height in pixels."""

    @property
    def part(self) -> Literal["training", "held-out"]:
        return "held-out" if self.held_out else "training"

    @property
    def crowded(self) -> bool:
        return self.most > CROWDED


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """Objects back to front before a background."""

    background: np.ndarray
    """(H, W, C) float32 in 0..255."""
    prompt: str
    placed: Sequence[PlacedObject]
    caption: Callable[[int, np.random.Generator], str]
    """Words for the object of a place in `placed`."""


class World(Protocol):
    """Where layouts are drawn."""

    @property
    def art(self) -> Art:
        """All that a judge has to know."""
        ...

    def draw(self, wish: Wish, rng: np.random.Generator) -> Arranged:
        """Objects at their places. Raises ValueError where they find no room."""
        ...


class FirstWorld:
    """Objects in their own colours on plain backgrounds; canvases are square."""

    art = property(lambda self: packaged_art())

    def draw(self, wish: Wish, rng: np.random.Generator) -> Arranged:
        """As `World.draw`."""
        size = wish.canvas[0]
        spec = SceneSpec(
            size=size,
            min_instances=wish.fewest,
            max_instances=wish.most,
            few=FEW,
            largest=LARGEST,
            crowding=1.3,
            stretch=1.2,
            min_visible=MIN_VISIBLE,
            duplicates=DUPLICATES,
            pairs=wish.part,
            wordings=wish.part,
            smallest=SMALLEST["first"][wish.crowded],
        )
        objects = choose_objects(rng, spec=spec, objects=packaged_art().objects)
        background = make_background(size, rng)
        rules = Arrangement(
            size=size,
            shortest=spec.smallest * size,
            longest=min(spec.largest, spec.crowding / len(objects) ** 0.5) * size,
            stretch=spec.stretch,
            min_visible=spec.min_visible,
            keep_apart=False,
        )
        return Arranged(
            background=background.pixels,
            prompt=background.prompt,
            placed=arrange(objects, rules, rng),
            caption=lambda place, words: caption(objects[place], words, wordings=wish.part),
        )


class SecondWorld:
    """Objects in their own and in other colours before scenic backgrounds, with soft shadows on the ground."""

    art = property(lambda self: coloured_art())

    def draw(self, wish: Wish, rng: np.random.Generator) -> Arranged:
        """As `World.draw`."""
        width, height = wish.canvas
        spec = WorldSpec(
            width=width,
            height=height,
            min_instances=wish.fewest,
            max_instances=wish.most,
            few=FEW,
            largest=LARGEST,
            crowding=1.35,
            min_visible=MIN_VISIBLE,
            duplicates=DUPLICATES,
            pairs=wish.part,
            wordings=wish.part,
            colours=wish.part,
            smallest=SMALLEST["second"][wish.crowded],
        )
        choices = choose_coloured(rng, spec=spec, art=world_art())
        background = backgrounds.make_background(height, width, rng)
        side = (width * height) ** 0.5
        rules = placement.Rules(
            height=height,
            width=width,
            shortest=spec.smallest * side,
            longest=min(spec.largest, spec.crowding / len(choices) ** 0.5) * side,
            stretch=spec.stretch,
            min_visible=spec.min_visible,
            keep_apart=False,
            ground=background.ground if rng.random() < spec.shadows else np.inf,
        )
        placed = placement.arrange(choices, rules, rng)
        return Arranged(
            background=background.pixels,
            prompt=background.prompt,
            placed=[_on_canvas(one, rules) for one in placed],
            caption=lambda place, words: captions.caption(
                choices[place].item, choices[place].colour, words, wordings=wish.part
            ),
        )


def _on_canvas(one: placement.PlacedObject, rules: placement.Rules) -> PlacedObject:
    item = coloured_art().of(one.choice.item, one.choice.colour)
    mask_HW = one.mask(rules.height, rules.width)
    return PlacedObject(item, one.rectangle, one.pixels, mask_HW, placement.shadow(one, rules))


@lru_cache(maxsize=len(WORLDS))
def world(name: WorldName) -> World:
    """A world by name."""
    return FirstWorld() if name == "first" else SecondWorld()
