"""Samples for training and evaluation: a picture, its instances and their occlusion order.

Arrays: H rows, W columns, C colour channels, N instances.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from occlusionformer.data.world.artwork import WorldArt, world_art
from occlusionformer.data.world.scene import Scene
from occlusionformer.data.world.scenes import CANVAS_SHARES, CANVASES, WorldSpec, make_scene
from occlusionformer.layout import Box, Instance, Layout, Pair, Pairs

NOT_DESCRIBED = "-"
"""Prompt or caption in a layout where nobody described what is there: layouts need some text."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One picture with its layout. Raises ValueError that lists all inconsistencies."""

    image: np.ndarray
    """(H, W, C) uint8."""
    prompt: str
    """Empty where nobody described it, as are captions."""
    captions: tuple[str, ...]
    boxes: np.ndarray
    """(N, 4) float32: normalised x1, y1, x2, y2, amodal."""
    amodal: np.ndarray | None
    """(N, H, W) bool: where each instance is, seen or not; None where nobody knows."""
    visible: np.ndarray | None
    """(N, H, W) bool: where each instance is seen."""
    in_front: np.ndarray | None
    """(N, N) bool, [i, j]: i is in front of j; None where no order is declared."""
    key: str
    """Names the sample for ever; equal keys mean equal samples."""
    composed: bool = False
    """Whether the objects, in this order, stand where they do when only their names are given."""

    def __post_init__(self) -> None:
        problems = []
        count, canvas = len(self.captions), self.image.shape[:2]
        if self.image.ndim != 3 or self.image.shape[-1] != 3 or self.image.dtype != np.uint8:
            problems.append(f"image: expected (H, W, 3) uint8, got {self.image.shape} {self.image.dtype}")
        expected = {
            "boxes": (count, 4),
            "amodal": (count, *canvas),
            "visible": (count, *canvas),
            "in_front": (count, count),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                problems.append(f"{name}: expected {shape}, got {value.shape}")
        if problems:
            raise ValueError("\n".join(f"{self.key}: {problem}" for problem in problems))


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleShape:
    """Canvas and number of instances: samples of equal shape can share a batch."""

    width: int
    height: int
    instances: int


class SampleSource(Protocol):
    """Samples by number; the same in every process, and safe to share between worker processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class WorldSamples:
    """Drawn scenes as samples. With no size in `spec`, every `group` of them shares one of CANVASES."""

    seed: int
    length: int
    spec: WorldSpec
    group: int = 1
    art: WorldArt = field(default_factory=world_art, repr=False)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"index: expected 0 to {self.length - 1}, got {index}")
        height, width = self.canvas(index)
        spec = replace(self.spec, height=height, width=width)
        scene = make_scene(index, seed=self.seed, spec=spec, art=self.art)
        return sample_of_scene(scene, f"world-{self.seed}-{height}x{width}-{index}")

    def canvas(self, index: int) -> tuple[int, int]:
        """Height and width in pixels."""
        if self.spec.width is not None and self.spec.height is not None:
            return self.spec.height, self.spec.width
        rng = np.random.default_rng([self.seed, index // self.group, 1])
        width, height = CANVASES[int(rng.choice(len(CANVASES), p=CANVAS_SHARES))]
        return height, width


def sample_of_scene(scene: Scene, key: str) -> Sample:
    """A scene with its total order."""
    rank = np.argsort(scene.back_to_front)
    return Sample(
        image=scene.image,
        prompt=scene.prompt,
        captions=tuple(item.caption for item in scene.instances),
        boxes=np.array([item.box for item in scene.instances], dtype=np.float32).reshape(-1, 4),
        amodal=np.stack([item.amodal for item in scene.instances]),
        visible=np.stack([item.visible for item in scene.instances]),
        in_front=rank[:, None] > rank[None, :],
        key=key,
        composed=scene.composed,
    )


def sample_layout(sample: Sample) -> Layout:
    """The layout a user would have drawn to ask for this sample; loops in its order are allowed."""
    height, width = sample.image.shape[:2]
    names = [f"instance{position}" for position in range(len(sample.captions))]
    order = None
    if sample.in_front is not None:
        relations = np.argwhere(sample.in_front)
        order = Pairs(pairs=tuple(Pair(front=names[front], behind=names[behind]) for front, behind in relations))
    return Layout(
        prompt=sample.prompt or NOT_DESCRIBED,
        width=width,
        height=height,
        instances=tuple(
            Instance(id=name, caption=caption or NOT_DESCRIBED, box=Box(*(float(edge) for edge in box)))
            for name, caption, box in zip(names, sample.captions, sample.boxes, strict=True)
        ),
        order=order,
        cycles="allow",
    )
