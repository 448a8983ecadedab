"""What a scene is.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    composed: bool = False
    """Whether its objects, in this order, stand where they do when only their names are given."""


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
