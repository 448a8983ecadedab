"""What a scene is, and which objects meet in one.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from occlusionformer.data.splits import Item, Part, compatible
from occlusionformer.layout import Box, FrontToBack, Instance, Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneInstance:
    """One object of a scene."""

    name: str
    caption: str
    box: tuple[float, float, float, float]
    """Normalised x1, y1, x2, y2, tight around the amodal mask."""
    amodal: np.ndarray
    """(H, W) bool: where the object is, seen or not: its alpha is above one half."""
    visible: np.ndarray
    """(H, W) bool: the amodal mask less the amodal masks of all objects in front."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A picture with exact masks, boxes, captions and order of its objects."""

    image: np.ndarray
    """(H, W, C) uint8, composited back to front."""
    prompt: str
    """The background alone; objects are named by their captions."""
    instances: tuple[SceneInstance, ...]
    """In an order that says nothing about depth."""
    back_to_front: tuple[int, ...]
    """Indices of the instances from the farthest to the nearest."""


def scene_layout(scene: Scene) -> Layout:
    """The layout a user would have drawn to ask for this scene: its boxes, captions and total order."""
    height, width = scene.image.shape[:2]
    names = [f"object{position}" for position in range(len(scene.instances))]
    return Layout(
        prompt=scene.prompt,
        width=width,
        height=height,
        instances=tuple(
            Instance(id=name, caption=item.caption, box=Box(*item.box))
            for name, item in zip(names, scene.instances, strict=True)
        ),
        order=FrontToBack(front_to_back=tuple(names[position] for position in reversed(scene.back_to_front))),
    )


class SceneSeries(Protocol):
    """The endless series of scenes that a seed and settings name, or a piece of it."""

    @property
    def seed(self) -> int: ...
    @property
    def spec(self) -> Any:
        """Settings, a dataclass."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Scene: ...


class ObjectRules(Protocol):
    """The settings that choose a scene's objects; see WorldSpec."""

    @property
    def min_instances(self) -> int: ...
    @property
    def max_instances(self) -> int: ...
    @property
    def few(self) -> float: ...
    @property
    def duplicates(self) -> float: ...
    @property
    def pairs(self) -> Part: ...


def choose_objects(rng: np.random.Generator, *, spec: ObjectRules, objects: Sequence[Item]) -> list[Item]:
    """The objects of a scene from back to front, all different but for the rare duplicate."""
    span = spec.max_instances - spec.min_instances + 1
    count = spec.min_instances + min(int(span * rng.random() ** spec.few), span - 1)
    if spec.pairs == "held-out":
        count = max(count, 2)
    if count > len(objects):
        raise ValueError(f"max_instances: expected at most the {len(objects)} packaged objects, got {count}")
    shuffled = [objects[position] for position in rng.permutation(len(objects))]
    chosen = compatible(shuffled, count, spec.pairs)
    if len(chosen) > 1 and rng.random() < spec.duplicates and spec.pairs != "held-out":
        first, second = rng.choice(len(chosen), size=2, replace=False)
        chosen[second] = chosen[first]
    return chosen
