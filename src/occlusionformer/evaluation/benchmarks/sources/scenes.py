"""Layouts of packaged objects with their order, depth and boxes known; made on the spot, nothing is read from disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image
from pydantic import Field

from occlusionformer.evaluation.benchmark import BackgroundPicture, BenchmarkItem, ItemTruth, SwappedPair
from occlusionformer.evaluation.benchmarks.source import BenchmarkSource, LoadedItems
from occlusionformer.evaluation.benchmarks.truths import pixels
from occlusionformer.evaluation.metrics.depth import FARTHER, NEARER
from occlusionformer.evaluation.metrics.matrices import UNKNOWN
from occlusionformer.evaluation.records import picture_digest
from occlusionformer.evaluation.scenes.layouts import LAYOUTS, SPLITS, BenchScene, Split, Truth, bench_series
from occlusionformer.evaluation.scenes.robustness import (
    COUNTS,
    LAYOUTS_CHANGED,
    LAYOUTS_PER_COUNT,
    SHAPES,
    ChangedLayout,
    changed,
    conditions,
    crowd_name,
    shape_name,
)
from occlusionformer.evaluation.scenes.variants import Variant, with_canvas, with_instances, with_swapped_pair
from occlusionformer.layout.document import Document

BENCHMARKS, JUDGE = "world", "art"
"""What the names of all these benchmarks begin with, as in "world-complex", and the judge that knows their objects."""
HELD_OUT, TRAINED = "held-out pairs and words", "pairs and words of training"
SIZES = {3: "1 to 3 instances", 6: "4 to 6 instances", 9: "7 to 9 instances", 12: "10 to 12 instances"}
"""Groups of layouts by the most instances they have."""
CONTROLLED = 200
"""Pairs of the order control."""
CONTROLLED_SPLITS: tuple[Split, ...] = ("regular", "complex")
"""Where they come from, in this order: one from every layout that has one which can be swapped alone."""


class ScenesSettings(Document):
    split: Split = Field(description="How far the boxes overlap.")
    series: int = Field(0, description="0 is the benchmark; others are for choosing settings.", ge=0, le=1_000)


class OrderControlSettings(Document):
    pairs: int = Field(CONTROLLED, description="Pairs that are swapped.", ge=1, le=CONTROLLED)


class RobustnessSettings(Document):
    layouts: int = Field(LAYOUTS_CHANGED, description="Complex layouts of every change.", ge=1, le=LAYOUTS)
    per_count: int = Field(LAYOUTS_PER_COUNT, description="Layouts of every number of instances.", ge=1, le=LAYOUTS)


class LazyItems(Sequence[BenchmarkItem]):
    """Items that are made when they are taken, since making a layout takes time."""

    def item(self, place: int) -> BenchmarkItem:
        """The item at a place from 0."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> BenchmarkItem: ...
    @overload
    def __getitem__(self, place: slice) -> list[BenchmarkItem]: ...
    def __getitem__(self, place: int | slice) -> BenchmarkItem | list[BenchmarkItem]:
        wanted = range(len(self))[place]
        return self.item(wanted) if isinstance(wanted, int) else [self.item(one) for one in wanted]


@dataclass(frozen=True)
class SplitItems(LazyItems):
    """The layouts of a split."""

    split: Split
    series: int = 0

    def __len__(self) -> int:
        return len(bench_series(self.split, self.series))

    def item(self, place: int) -> BenchmarkItem:
        scene = bench_series(self.split, self.series)[place]
        return scene_item(scene, seed=seed_of(self.split, place), groups=_groups_of(scene))


@dataclass(frozen=True)
class OrderControlItems(LazyItems):
    """Layouts and, behind each, the same with one pair swapped."""

    pairs: int

    def __len__(self) -> int:
        return 2 * self.pairs

    def item(self, place: int) -> BenchmarkItem:
        found = _control_cases().first(place // 2 + 1)[-1]
        if place % 2 == 0:
            return scene_item(found.scene, seed=found.seed)
        pair = SwappedPair(found.scene.key, *found.pair)
        return scene_item(found.swapped.scene, seed=found.seed, key=f"{found.scene.key}-swapped", swapped=pair)


@dataclass(frozen=True)
class RobustnessItems(LazyItems):
    """Complex layouts with every change, then canvases of other shapes, then crowds of every number of instances."""

    layouts: int
    per_count: int

    def __len__(self) -> int:
        shaped, crowds = len(SHAPES) * self.layouts, len(COUNTS) * self.per_count
        return len(_changed_layouts(self.layouts)) + shaped + crowds

    def item(self, place: int) -> BenchmarkItem:
        found = _changed_layouts(self.layouts)
        if place < len(found):
            one = found[place]
            seed = seed_of("complex", one.number)
            return scene_item(
                one.variant.scene, key=one.key, seed=seed, groups=(one.condition,), declared=one.variant.declared
            )
        place -= len(found)
        if place < len(SHAPES) * self.layouts:
            kind, number = divmod(place, self.layouts)
            scene = with_canvas(SHAPES[kind], number).scene
            return scene_item(scene, seed=number, groups=(shape_name(SHAPES[kind]),))
        kind, number = divmod(place - len(SHAPES) * self.layouts, self.per_count)
        scene = with_instances(COUNTS[kind], number).scene
        return scene_item(scene, seed=number, groups=(crowd_name(COUNTS[kind]),))


@dataclass(frozen=True, kw_only=True)
class _ControlCase:
    scene: BenchScene
    seed: int
    swapped: Variant
    pair: tuple[int, int]


class _ControlCases:
    """Found one after another, as far as they are asked for."""

    def __init__(self) -> None:
        self._found: list[_ControlCase] = []
        self._coming = (case for split in CONTROLLED_SPLITS for case in _cases_of(split))

    def first(self, count: int) -> list[_ControlCase]:
        while len(self._found) < count:
            self._found.append(next(self._coming))
        return self._found[:count]


@lru_cache(maxsize=1)
def _control_cases() -> _ControlCases:
    return _ControlCases()


def _cases_of(split: Split) -> Iterator[_ControlCase]:
    for place, scene in enumerate(bench_series(split)):
        found = with_swapped_pair(scene)
        if found is not None:
            yield _ControlCase(scene=scene, seed=seed_of(split, place), swapped=found[0], pair=found[1])


@lru_cache(maxsize=4)
def _changed_layouts(layouts: int) -> tuple[ChangedLayout, ...]:
    return tuple(changed(bench_series("complex")[:layouts]))


def scene_item(
    scene: BenchScene,
    *,
    seed: int,
    key: str | None = None,
    groups: tuple[str, ...] = (),
    declared: Truth | None = None,
    swapped: SwappedPair | None = None,
) -> BenchmarkItem:
    """The item of a scene. Categories are the names of the packaged objects, which the art-aware judge asks for.

    declared: the order of the layout, where it is not that of the scene.
    """
    layout, order_NN = scene.layout, scene.truth.order
    nearer_NN = np.where(order_NN == 1, NEARER, np.where(order_NN.T == 1, FARTHER, UNKNOWN))
    truth = ItemTruth(
        boxes=tuple(pixels(box, layout.width, layout.height) for box in layout.boxes),
        frame=(layout.width, layout.height),
        names=tuple(instance.id for instance in layout.instances),
        categories=scene.names,
        overlap_pairs=scene.truth.pairs,
        order=_rows(order_NN),
        depth=_rows(nearer_NN),
        declared_order=None if declared is None else _rows(declared.order),
    )
    return BenchmarkItem(
        key=scene.key if key is None else key,
        layout=layout,
        truth=truth,
        reference=partial(_rendered, scene),
        background=BackgroundPicture(digest=picture_digest(_background(scene)), load=partial(_background, scene)),
        seed=seed,
        groups=groups,
        swapped=swapped,
    )


def seed_of(split: Split, place: int) -> int:
    """The noise of a layout: its number over all splits."""
    return SPLITS.index(split) * LAYOUTS + place


def _groups_of(scene: BenchScene) -> tuple[str, ...]:
    """By what training knows of the layout, and by how many instances it has."""
    most = min(count for count in SIZES if len(scene.placed) <= count)
    return (HELD_OUT if scene.held_out else TRAINED, SIZES[most])


def _rendered(scene: BenchScene) -> Image.Image:
    return Image.fromarray(scene.render())


def _background(scene: BenchScene) -> Image.Image:
    return Image.fromarray(scene.backdrop())


def _rows(matrix: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def _read_splits(settings: ScenesSettings, folder: Path) -> LoadedItems:
    return LoadedItems(
        made_later=SplitItems(settings.split, settings.series),
        groups=(HELD_OUT, TRAINED, *SIZES.values()),
    )


def _read_order_control(settings: OrderControlSettings, folder: Path) -> LoadedItems:
    return LoadedItems(made_later=OrderControlItems(settings.pairs))


def _read_robustness(settings: RobustnessSettings, folder: Path) -> LoadedItems:
    return LoadedItems(made_later=RobustnessItems(settings.layouts, settings.per_count), groups=conditions())


SCENES = BenchmarkSource(name="scenes", settings=ScenesSettings, read=_read_splits, has_files=False)
ORDER_CONTROL = BenchmarkSource(
    name="scenes-order-control", settings=OrderControlSettings, read=_read_order_control, has_files=False
)
ROBUSTNESS = BenchmarkSource(
    name="scenes-robustness", settings=RobustnessSettings, read=_read_robustness, has_files=False
)
