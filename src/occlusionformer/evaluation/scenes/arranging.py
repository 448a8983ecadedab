"""What a benchmark layout is to have, and how its objects are chosen and placed.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from occlusionformer.data.world import backgrounds, captions, placement
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.layers import PlacedObject
from occlusionformer.data.world.scenes import WorldSpec, choose_coloured

CANVAS = (256, 256)
"""Usual width and height in pixels."""
CROWDED = 12
"""Above so many instances objects have to be smaller to find room."""
SMALLEST, SMALLEST_OF_CROWDS = 0.22, 0.16
"""Least length of an object's longer side as a share of the canvas."""
LARGEST, CROWDING, MIN_VISIBLE, FEW, DUPLICATES = 0.65, 1.35, 0.25, 1.5, 0.04


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a layout is to have."""

    fewest: int
    most: int
    held_out: bool
    """Of a pair of objects, in words and colours, that training never shows."""
    canvas: tuple[int, int] = CANVAS
    """Width and height in pixels."""

    @property
    def part(self) -> Literal["training", "held-out"]:
        return "held-out" if self.held_out else "training"

    @property
    def smallest(self) -> float:
        """Least length of an object's longer side as a share of the canvas."""
        return SMALLEST_OF_CROWDS if self.most > CROWDED else SMALLEST


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """Objects back to front before a background."""

    background: np.ndarray
    """(H, W, C) float32 in 0..255."""
    prompt: str
    placed: Sequence[PlacedObject]
    caption: Callable[[int, np.random.Generator], str]
    """Words for the object of a place in `placed`."""


def arranged(wish: Wish, rng: np.random.Generator) -> Arranged:
    """Objects in their own and in other colours before a scenic background, with soft shadows on the ground.

    Raises ValueError where they find no room.
    """
    width, height = wish.canvas
    spec = WorldSpec(
        width=width,
        height=height,
        min_instances=wish.fewest,
        max_instances=wish.most,
        few=FEW,
        largest=LARGEST,
        crowding=CROWDING,
        min_visible=MIN_VISIBLE,
        duplicates=DUPLICATES,
        pairs=wish.part,
        wordings=wish.part,
        colours=wish.part,
        smallest=wish.smallest,
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
    return Arranged(
        background=background.pixels,
        prompt=background.prompt,
        placed=placement.arrange(choices, rules, rng),
        caption=lambda place, words: captions.caption(
            choices[place].item, choices[place].colour, words, wordings=wish.part
        ),
    )
