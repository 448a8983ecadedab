"""Procedural layered scenes of the first world: packaged objects put one over another, with exact masks and order.

Arrays: H rows, W columns, C colour channels, N instances, B scenes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, get_args

import numpy as np

from occlusionformer.data.arranging import Arrangement, arrange, visible_masks
from occlusionformer.data.artwork import Artwork, packaged_art
from occlusionformer.data.backgrounds import make_background
from occlusionformer.data.placement import composite
from occlusionformer.data.samples import Sample, sample_of_scene
from occlusionformer.data.splits import Part
from occlusionformer.data.words import caption
from occlusionformer.data.world.scene import Scene, SceneInstance, choose_objects

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneSpec:
    """Which scenes may be drawn. Lengths are shares of the canvas side."""

    size: int = 128
    """Side of the square canvas in pixels."""
    min_instances: int = 1
    max_instances: int = 12
    few: float = 1.5
    """Power of a uniform number that the count of instances follows: 1 is even, more favours few instances."""
    smallest: float = 0.25
    """Least length of an object's longer side; smaller ones would not fill a few tokens."""
    largest: float = 0.65
    """Greatest length of an object's longer side; sizes are log-uniform in between."""
    crowding: float = 1.3
    """The greatest length is no more than this over the root of the number of objects; room runs out otherwise."""
    stretch: float = 1.2
    """Greatest factor by which an object's aspect ratio is changed, either way."""
    min_visible: float = 0.25
    """Every object keeps at least this share of its mask in sight; less could not be recognised."""
    apart: float = 0.3
    """Share of the scenes of up to `apart_instances` objects in which none overlap."""
    apart_instances: int = 3
    """More objects than this rarely fit side by side."""
    duplicates: float = 0.04
    """Share of scenes in which one object appears twice."""
    pairs: Part = "training"
    """Held-out scenes begin with one held-out pair of objects."""
    wordings: Part = "training"
    """Held-out captions call an object by the synonym kept from training, where it has one."""

    def __post_init__(self) -> None:
        limits = {
            "size": (16, 4096),
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
        }
        parts = ("pairs", "wordings")
        assert {*limits, *parts} == {known.name for known in fields(self)}
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
        if problems:
            raise ValueError("\n".join(problems))


def make_scene(index: int, *, seed: int, spec: SceneSpec, art: Artwork) -> Scene:
    """Scene number `index` of the endless series named by `seed`: the same in every process."""
    rng = np.random.default_rng([seed, index])
    objects = choose_objects(rng, spec=spec, objects=art.objects)
    background = make_background(spec.size, rng)
    arrangement = Arrangement(
        size=spec.size,
        shortest=spec.smallest * spec.size,
        longest=min(spec.largest, spec.crowding / len(objects) ** 0.5) * spec.size,
        stretch=spec.stretch,
        min_visible=spec.min_visible,
        keep_apart=len(objects) <= spec.apart_instances and bool(rng.random() < spec.apart),
    )
    placed = arrange(objects, arrangement, rng)
    image_HWC = composite(background.pixels, placed)
    order = rng.permutation(len(placed))
    visible = visible_masks(placed)
    return Scene(
        image=image_HWC,
        prompt=background.prompt,
        instances=tuple(
            SceneInstance(
                name=objects[depth].name,
                caption=caption(objects[depth], rng, wordings=spec.wordings),
                box=placed[depth].normalised_box,
                amodal=placed[depth].mask,
                visible=visible[depth],
            )
            for depth in order
        ),
        back_to_front=tuple(int(position) for position in np.argsort(order)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneBatch:
    """Scenes as arrays; the instances of all scenes follow one another, scene by scene."""

    images: np.ndarray
    """(B, H, W, C) uint8."""
    amodal: np.ndarray
    """(N, H, W) bool."""
    visible: np.ndarray
    """(N, H, W) bool."""
    boxes: np.ndarray
    """(N, 4) float32: normalised x1, y1, x2, y2."""
    scene_index: np.ndarray
    """(N,) which scene of the batch each instance belongs to."""
    depth_rank: np.ndarray
    """(N,) position in the instance's own scene, counted from the back."""
    captions: tuple[str, ...]
    prompts: tuple[str, ...]
    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class SceneDataset:
    """A finite piece of the series of scenes named by a seed; safe to share between worker processes."""

    seed: int
    length: int
    spec: SceneSpec = field(default_factory=SceneSpec)
    art: Artwork = field(default_factory=packaged_art)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.length:
            raise IndexError(f"index: expected 0 to {self.length - 1}, got {index}")
        return make_scene(index, seed=self.seed, spec=self.spec, art=self.art)

    def batch(self, indices: Sequence[int]) -> SceneBatch:
        """The scenes of these indices, stacked."""
        scenes = tuple(self[index] for index in indices)
        instances = [item for scene in scenes for item in scene.instances]
        return SceneBatch(
            images=np.stack([scene.image for scene in scenes]),
            amodal=np.stack([item.amodal for item in instances]),
            visible=np.stack([item.visible for item in instances]),
            boxes=np.array([item.box for item in instances], dtype=np.float32),
            scene_index=np.repeat(np.arange(len(scenes)), [len(scene.instances) for scene in scenes]),
            depth_rank=np.concatenate([np.argsort(scene.back_to_front) for scene in scenes]),
            captions=tuple(item.caption for item in instances),
            prompts=tuple(scene.prompt for scene in scenes),
            scenes=scenes,
        )


@dataclass(frozen=True)
class SceneSamples:
    """Procedural scenes as samples."""

    scenes: SceneDataset = field(repr=False)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        return sample_of_scene(self.scenes[index], f"scene-{self.scenes.seed}-{index}")
