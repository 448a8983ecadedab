"""The benchmark's layouts: 3 x 200 scenes that are the same for everybody, with all that is true of them.

Arrays: H rows, W columns, C colour channels, N instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args, overload

import numpy as np

from occlusionformer.data.world.layers import PlacedObject, composite
from occlusionformer.evaluation.metrics.matrices import UNKNOWN
from occlusionformer.evaluation.scenes.arranging import CANVAS, Wish, arranged
from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.layout.difficulty import overlap

Split = Literal["simple", "regular", "complex"]
SPLITS: tuple[Split, ...] = get_args(Split)
LAYOUTS = 200
"""In every split."""
SEED = 3
"""Of the series the layouts are taken from; training and its probe use others."""
SERIES_APART = 1_000
"""Between the seeds of two series."""
TIERS: dict[Split, tuple[float, float]] = {"simple": (0.0, 0.2), "regular": (0.2, 0.8), "complex": (0.8, np.inf)}
"""Least and greatest sum of the intersections over union of all pairs: the OverLayScore of captions all alike."""
INSTANCES: dict[Split, tuple[int, int]] = {"simple": (1, 6), "regular": (2, 9), "complex": (3, 12)}
"""Fewest and most in a layout."""
HELD_OUT_EVERY = 3
"""Every third layout is of a pair of objects, and in words, that training never shows."""
APART_EVERY = 4
"""Every fourth simple layout need not have a pair that counts; all others do."""
LEAST_OVERLAP = 0.04
"""Share of the smaller object that must be seen to be hidden, or to hide, for a pair to count."""
LEAST_AREA = 1 / 1024
"""The same as a share of the canvas."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a picture of the layout should show."""

    order: np.ndarray
    """(N, N): 1 where the instance of the row hides a part of that of the column, -1 where too little to tell."""

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs that count."""
        return tuple((int(i), int(j)) for i, j in np.argwhere(np.triu((self.order == 1) | (self.order.T == 1), 1)))


@dataclass(frozen=True, kw_only=True)
class BenchScene:
    """A layout of the benchmark and the objects it was made of; instances are in the order of the layout."""

    key: str
    split: Split
    held_out: bool
    layout: Layout
    placed: tuple[PlacedObject, ...]
    background: np.ndarray
    """(H, W, C) float32 in 0..255."""
    back_to_front: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The object of every instance."""
        return tuple(one.item.name for one in self.placed)

    @cached_property
    def truth(self) -> Truth:
        return Truth(order=_order_matrix(self.placed, self.back_to_front))

    def render(self, back_to_front: Sequence[int] | None = None) -> np.ndarray:
        """(H, W, C) uint8: the true picture, or that of another order."""
        order = self.back_to_front if back_to_front is None else back_to_front
        return composite(self.background, [self.placed[place] for place in order])

    def backdrop(self) -> np.ndarray:
        """(H, W, C) uint8: the background alone."""
        return self.render([])


class BenchSeries(Sequence[BenchScene]):
    """The layouts of a split; each is made when it, or a later one, is first asked for."""

    def __init__(self, split: Split, series: int = 0) -> None:
        self._made: list[BenchScene] = []
        self._coming = _series(split, series)

    def __len__(self) -> int:
        return LAYOUTS

    @overload
    def __getitem__(self, place: int) -> BenchScene: ...
    @overload
    def __getitem__(self, place: slice) -> list[BenchScene]: ...
    def __getitem__(self, place: int | slice) -> BenchScene | list[BenchScene]:
        wanted = range(LAYOUTS)[place]
        if isinstance(wanted, range):
            return [self[one] for one in wanted]
        while len(self._made) <= wanted:
            self._made.append(next(self._coming))
        return self._made[wanted]


@lru_cache(maxsize=2 * len(SPLITS))
def bench_series(split: Split, series: int = 0) -> Sequence[BenchScene]:
    """All layouts of a split."""
    return BenchSeries(split, series)


def bench_scenes(split: Split, limit: int = LAYOUTS) -> tuple[BenchScene, ...]:
    """The first layouts of a split."""
    return tuple(bench_series(split)[:limit])


def _series(split: Split, series: int) -> Iterator[BenchScene]:
    least, most = TIERS[split]
    found = 0
    index = 0
    while found < LAYOUTS:
        held_out = found % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        may_be_apart = split == "simple" and found % APART_EVERY == 0
        scene = draw_scene(index, split=split, held_out=held_out, key=f"{split}-{found:03d}", series=series)
        if least <= overlap(scene.layout.boxes).total_iou < most and (may_be_apart or scene.truth.pairs):
            found += 1
            yield scene
        index += 1


def draw_scene(
    index: int,
    *,
    split: Split,
    held_out: bool,
    key: str,
    instances: int | None = None,
    canvas: tuple[int, int] = CANVAS,
    series: int = 0,
) -> BenchScene:
    """Scene number `index` of a split's series; of those with so many `instances`, if given.

    canvas: width and height in pixels.
    series: 0 is the benchmark's; others are for choosing settings, which must not be done on the benchmark.
    """
    fewest, most = INSTANCES[split] if instances is None else (instances, instances)
    wish = Wish(fewest=fewest, most=most, held_out=held_out, canvas=canvas)
    rng = np.random.default_rng([SEED + SERIES_APART * series, SPLITS.index(split), held_out, instances or 0, index])
    drawn = arranged(wish, rng)
    depth = rng.permutation(len(drawn.placed))
    placed = tuple(drawn.placed[place] for place in depth)
    back_to_front = tuple(int(place) for place in np.argsort(depth))
    captions = [drawn.caption(int(place), rng) for place in depth]
    return BenchScene(
        key=key,
        split=split,
        held_out=held_out,
        layout=_layout(drawn.prompt, placed, captions, back_to_front),
        placed=placed,
        background=drawn.background,
        back_to_front=back_to_front,
    )


def _layout(
    prompt: str, placed: Sequence[PlacedObject], captions: Sequence[str], back_to_front: Sequence[int]
) -> Layout:
    height, width = placed[0].mask.shape
    ids = [f"object{place}" for place in range(len(placed))]
    return Layout(
        prompt=prompt,
        width=width,
        height=height,
        instances=tuple(
            Instance(id=name, caption=words, box=Box(*one.normalised_box))
            for name, words, one in zip(ids, captions, placed, strict=True)
        ),
        order=FrontToBack(front_to_back=tuple(ids[place] for place in reversed(back_to_front))),
    )


def _order_matrix(placed: Sequence[PlacedObject], back_to_front: Sequence[int]) -> np.ndarray:
    order_NN = np.zeros((len(placed), len(placed)), dtype=int)
    for back, behind in enumerate(back_to_front):
        for front, before in enumerate(back_to_front[back + 1 :], start=back + 1):
            common_HW = placed[behind].mask & placed[before].mask
            if not common_HW.any():
                continue
            for other in back_to_front[front + 1 :]:
                common_HW &= ~placed[other].mask
            smaller = min(placed[behind].mask.sum(), placed[before].mask.sum())
            if common_HW.sum() >= max(LEAST_AREA * common_HW.size, LEAST_OVERLAP * smaller):
                order_NN[before, behind] = 1
            else:
                order_NN[before, behind] = order_NN[behind, before] = UNKNOWN
    return order_NN
