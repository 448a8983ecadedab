"""Layouts of packaged objects with their order, depth and boxes known; made on the spot, nothing is read from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image
from pydantic import Field

from occlusionformer.evaluation.benchmark import BackgroundPicture, BenchmarkItem, ItemTruth
from occlusionformer.evaluation.benchmarks.source import BenchmarkSource, LoadedItems
from occlusionformer.evaluation.benchmarks.truths import pixels
from occlusionformer.evaluation.metrics.depth import FARTHER, NEARER
from occlusionformer.evaluation.metrics.matrices import UNKNOWN
from occlusionformer.evaluation.records import picture_digest
from occlusionformer.evaluation.scenes.layouts import BenchScene, Split, bench_series
from occlusionformer.layout.document import Document


class ScenesSettings(Document):
    split: Split = Field(description="How far the boxes overlap.")


def read(settings: ScenesSettings, folder: Path) -> LoadedItems:
    """`folder` is not used."""
    return LoadedItems(made_later=BenchmarkScenes(settings.split))


@dataclass(frozen=True)
class BenchmarkScenes(Sequence[BenchmarkItem]):
    """The items of a split. Each is made when it is taken, since making a layout takes time."""

    split: Split

    def __len__(self) -> int:
        return len(bench_series(self.split))

    @overload
    def __getitem__(self, place: int) -> BenchmarkItem: ...
    @overload
    def __getitem__(self, place: slice) -> list[BenchmarkItem]: ...
    def __getitem__(self, place: int | slice) -> BenchmarkItem | list[BenchmarkItem]:
        found = bench_series(self.split)[place]
        return _item(found) if isinstance(found, BenchScene) else [_item(one) for one in found]


def _item(scene: BenchScene) -> BenchmarkItem:
    """Categories are the names of the packaged objects, which the art-aware judge asks for."""
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
    )
    return BenchmarkItem(
        key=scene.key,
        layout=layout,
        truth=truth,
        reference=partial(_rendered, scene),
        background=BackgroundPicture(digest=picture_digest(_background(scene)), load=partial(_background, scene)),
    )


def _rendered(scene: BenchScene) -> Image.Image:
    return Image.fromarray(scene.render())


def _background(scene: BenchScene) -> Image.Image:
    return Image.fromarray(scene.backdrop())


def _rows(matrix: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


SCENES = BenchmarkSource(name="scenes", settings=ScenesSettings, read=read, has_files=False)
