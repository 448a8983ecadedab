"""Procedural scenes: objects in many colours before scenic backgrounds, all of it known exactly.

Arrays: H rows, W columns, C colour channels, N instances.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import get_args

import numpy as np

from occlusionformer.data.splits import Part, compatible
from occlusionformer.data.world.artwork import Coloured, WorldArt, WorldObject, world_art
from occlusionformer.data.world.backgrounds import make_background
from occlusionformer.data.world.captions import caption, colours_of
from occlusionformer.data.world.layers import composite, visible_masks
from occlusionformer.data.world.placement import Rules, arrange, compose
from occlusionformer.data.world.scene import Scene, SceneInstance
from occlusionformer.layout.composed import PLACES

CANVASES = ((256, 256), (320, 192), (192, 320), (288, 224), (224, 288), (224, 224), (192, 192), (320, 320))
"""Widths and heights in pixels, all multiples of 16 + 16: 192 to 320 a side."""
CANVAS_SHARES = (0.44, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08)


SIDES = (16, 1024)
"""Least and greatest side of a canvas in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldSpec:
    """Which scenes may be drawn. Lengths are shares of the root of the canvas's area."""

    width: int | None = 256
    """Of the canvas in pixels; with height None too, every scene has one of CANVASES."""
    height: int | None = 256
    min_instances: int = 1
    max_instances: int = 24
    few: float = 1.5
    """Power of a uniform number that the count of instances follows: 1 is even, more favours few instances."""
    smallest: float = 0.16
    """Least length of an object's longer side."""
    largest: float = 0.7
    """Greatest length of an object's longer side; sizes are log-uniform in between."""
    crowding: float = 1.35
    """The greatest length is no more than this over the root of the number of objects; room runs out otherwise."""
    stretch: float = 1.15
    """Greatest factor by which an object's aspect ratio is changed, either way."""
    min_visible: float = 0.25
    """Every object keeps at least this share of its mask in sight; less could not be recognised."""
    apart: float = 0.3
    """Share of the scenes of up to `apart_instances` objects in which none overlap."""
    apart_instances: int = 3
    duplicates: float = 0.04
    """Share of scenes in which one object appears twice, in two colours where it has them."""
    recoloured: float = 0.5
    """Share of the objects that may have other colours which do."""
    shadows: float = 0.8
    """Share of the scenes with ground in which objects cast soft contact shadows."""
    composed: float = 0.0
    """Share of the scenes, of up to three objects, in which these stand where a prompt alone puts them."""
    pairs: Part = "training"
    """Held-out scenes begin with one held-out pair of objects."""
    wordings: Part = "training"
    """Held-out captions call an object by the synonym kept from training, where it has one."""
    colours: Part = "training"
    """Held-out scenes show recoloured objects in the colours kept from training, where there are any."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "min_instances": (1, self.max_instances),
            "max_instances": (1, 64),
            "few": (0.1, 10),
            "smallest": (0.05, self.largest),
            "largest": (0.05, 1),
            "crowding": (self.smallest * self.max_instances**0.5, 16),
            "stretch": (1, 4),
            "min_visible": (0, 1),
            "apart": (0, 1),
            "apart_instances": (0, 64),
            "duplicates": (0, 1),
            "recoloured": (0, 1),
            "shadows": (0, 1),
            "composed": (0, 1),
        }
        parts, sides = ("pairs", "wordings", "colours"), ("width", "height")
        assert {*limits, *parts, *sides} == {known.name for known in fields(self)}
        problems = [
            f"{name}: expected {low:g} to {high:g}, got {getattr(self, name)}"
            for name, (low, high) in limits.items()
            if not low <= getattr(self, name) <= high
        ]
        problems += [
            f"{name}: expected one of {', '.join(get_args(Part))}, got {getattr(self, name)!r}"
            for name in parts
            if getattr(self, name) not in get_args(Part)
        ]
        if (self.width is None) != (self.height is None):
            problems.append(f"width, height: expected both or neither, got {self.width} and {self.height}")
        problems += [
            f"{name}: expected {SIDES[0]} to {SIDES[1]}, got {side}"
            for name in sides
            if (side := getattr(self, name)) is not None and not SIDES[0] <= side <= SIDES[1]
        ]
        if problems:
            raise ValueError("\n".join(problems))


def make_scene(index: int, *, seed: int, spec: WorldSpec, art: WorldArt) -> Scene:
    """Scene number `index` of the endless series named by `seed`: the same in every process."""
    rng = np.random.default_rng([seed, index])
    width, height = _canvas(spec, rng)
    composed = bool(spec.composed) and bool(rng.random() < spec.composed)
    if composed:
        fewer = min(spec.max_instances, len(PLACES))
        spec = replace(spec, min_instances=1, max_instances=fewer, few=1.0, duplicates=0.0)
    choices = choose_coloured(rng, spec=spec, art=art)
    background = make_background(height, width, rng)
    side = (width * height) ** 0.5
    rules = Rules(
        height=height,
        width=width,
        shortest=spec.smallest * side,
        longest=min(spec.largest, spec.crowding / len(choices) ** 0.5) * side,
        stretch=spec.stretch,
        min_visible=spec.min_visible,
        keep_apart=len(choices) <= spec.apart_instances and bool(rng.random() < spec.apart),
        ground=background.ground if rng.random() < spec.shadows else np.inf,
    )
    placed = compose(choices, rules) if composed else arrange(choices, rules, rng)
    order = np.arange(len(placed))[::-1] if composed else rng.permutation(len(placed))
    visible = visible_masks(placed)
    return Scene(
        image=composite(background.pixels, placed),
        prompt=background.prompt,
        instances=tuple(
            SceneInstance(
                name=choices[depth].item.name,
                caption=caption(choices[depth].item, choices[depth].colour, rng, wordings=spec.wordings),
                box=placed[depth].normalised_box,
                amodal=placed[depth].mask,
                visible=visible[depth],
            )
            for depth in order
        ),
        back_to_front=tuple(int(position) for position in np.argsort(order)),
        composed=composed,
    )


def choose_coloured(rng: np.random.Generator, *, spec: WorldSpec, art: WorldArt) -> list[Coloured]:
    """The objects of a scene from back to front, all different but for the rare duplicate, each in its colour."""
    chosen = _objects(rng, spec, art)
    return [Coloured(item, _colour(item, spec, rng)) for item in chosen]


def _objects(rng: np.random.Generator, spec: WorldSpec, art: WorldArt) -> list[WorldObject]:
    span = spec.max_instances - spec.min_instances + 1
    count = spec.min_instances + min(int(span * rng.random() ** spec.few), span - 1)
    if spec.pairs == "held-out":
        count = max(count, 2)
    if count > len(art):
        raise ValueError(f"max_instances: expected at most the {len(art)} packaged objects, got {count}")
    chosen = compatible([art.objects[position] for position in rng.permutation(len(art))], count, spec.pairs)
    if len(chosen) > 1 and rng.random() < spec.duplicates and spec.pairs != "held-out":
        first, second = rng.choice(len(chosen), size=2, replace=False)
        chosen[second] = chosen[first]
    return chosen


def _canvas(spec: WorldSpec, rng: np.random.Generator) -> tuple[int, int]:
    if spec.width is None or spec.height is None:
        return CANVASES[int(rng.choice(len(CANVASES), p=CANVAS_SHARES))]
    return spec.width, spec.height


def _colour(item: WorldObject, spec: WorldSpec, rng: np.random.Generator) -> str | None:
    other, which = rng.random(2)
    colours = colours_of(item, spec.colours)
    if not colours or other >= spec.recoloured:
        return None
    return colours[int(which * len(colours))]


@dataclass(frozen=True)
class WorldDataset:
    """A finite piece of the series of scenes named by a seed; safe to share between worker processes."""

    seed: int
    length: int
    spec: WorldSpec = field(default_factory=WorldSpec)
    art: WorldArt = field(default_factory=world_art)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.length:
            raise IndexError(f"index: expected 0 to {self.length - 1}, got {index}")
        return make_scene(index, seed=self.seed, spec=self.spec, art=self.art)
