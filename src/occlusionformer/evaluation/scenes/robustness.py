"""Layouts that are wrong, silent or crowded: what a model makes of them says how far it can be pushed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.evaluation.scenes.variants import (
    Variant,
    with_loop,
    with_moved_boxes,
    with_wrong_order,
    without_order,
)

COUNTS = (1, 2, 4, 8, 12, 16, 20, 24)
"""Instances of crowds; the splits end at 12."""
SHAPES = ((256, 240), (320, 192), (192, 320))
"""Widths and heights in pixels of canvases of one area that are no squares, but for the first, which nearly is one."""
LAYOUTS_PER_COUNT = 12
LAYOUTS_CHANGED = 50
"""Complex layouts of every change."""

Change = Callable[[BenchScene, np.random.Generator], "Variant | None"]

CHANGES: dict[str, Change] = {
    "order right": lambda scene, rng: with_wrong_order(scene, 0.0, rng),
    "order wrong for 10% of pairs": lambda scene, rng: with_wrong_order(scene, 0.1, rng),
    "order wrong for 25% of pairs": lambda scene, rng: with_wrong_order(scene, 0.25, rng),
    "order wrong for 50% of pairs": lambda scene, rng: with_wrong_order(scene, 0.5, rng),
    "three in a loop": lambda scene, rng: with_loop(scene),
    "no order": lambda scene, rng: without_order(scene),
    "boxes moved by up to 5%": lambda scene, rng: with_moved_boxes(scene, 0.05, rng),
    "boxes moved by up to 10%": lambda scene, rng: with_moved_boxes(scene, 0.1, rng),
}


def crowd_name(count: int) -> str:
    return f"{count} instance{'s' if count > 1 else ''}"


def shape_name(shape: tuple[int, int]) -> str:
    return f"canvas of {shape[0]} x {shape[1]}"


def conditions() -> tuple[str, ...]:
    """The rows of the table."""
    return (*CHANGES, *map(shape_name, SHAPES), *map(crowd_name, COUNTS))


@dataclass(frozen=True, kw_only=True)
class ChangedLayout:
    """One layout with one change."""

    condition: str
    key: str
    number: int
    """Of the scene among those that are changed."""
    variant: Variant


def changed(scenes: Sequence[BenchScene]) -> Iterator[ChangedLayout]:
    """Every change of these scenes, where it is possible."""
    for place, (condition, change) in enumerate(CHANGES.items()):
        for number, scene in enumerate(scenes):
            variant = change(scene, np.random.default_rng([place, number]))
            if variant is not None:
                key = f"{scene.key}-change{place}"
                yield ChangedLayout(condition=condition, key=key, number=number, variant=variant)
