"""Layouts that ask for something else than their scene: other orders, moved boxes, more instances.

Arrays: N instances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from occlusionformer.evaluation.scenes.layouts import BenchScene, Truth, draw_scene
from occlusionformer.layout import Box, FrontToBack, Instance, Layout, Pair, Pairs
from occlusionformer.layout.box import overlapping_pairs

LEAST_SIDE = 0.02
"""A moved box keeps at least this side, so that it stays a box."""
STILL_VISIBLE = 0.25
"""Share of either object of a swapped pair that stays in sight, as in every scene."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A scene with a changed layout, and the order that layout declares."""

    scene: BenchScene
    declared: Truth


def with_wrong_order(scene: BenchScene, share: float, rng: np.random.Generator) -> Variant:
    """The declared relation of this share of all overlapping pairs is reversed."""
    relations = _relations(scene)
    pairs = sorted(relations)
    chosen = rng.choice(len(pairs), size=round(share * len(pairs)), replace=False)
    for number in chosen:
        front, behind = relations[pairs[number]]
        relations[pairs[number]] = behind, front
    return _declaring(scene, relations)


def with_loop(scene: BenchScene) -> Variant | None:
    """Three instances that overlap each other, each declared in front of the next; None where no three do."""
    relations = _relations(scene)
    visible = set(scene.truth.pairs)
    loops = [
        (i, j, k) for i, j, k in combinations(range(len(scene.placed)), 3) if {(i, j), (j, k), (i, k)} <= set(relations)
    ]
    if not loops:
        return None
    i, j, k = max(loops, key=lambda loop: sum(pair in visible for pair in combinations(loop, 2)))
    return _declaring(scene, {**relations, (i, j): (i, j), (j, k): (j, k), (i, k): (k, i)})


def without_order(scene: BenchScene) -> Variant:
    """Nothing is said of who is in front."""
    return Variant(scene=replace(scene, layout=_reordered(scene.layout, None)), declared=scene.truth)


def with_moved_boxes(scene: BenchScene, amount: float, rng: np.random.Generator) -> Variant:
    """Every edge is moved by up to this share of its box's side."""
    boxes = [_moved(box, amount, rng) for box in scene.layout.boxes]
    instances = tuple(
        one.model_copy(update={"box": box}) for one, box in zip(scene.layout.instances, boxes, strict=True)
    )
    return Variant(scene=replace(scene, layout=_rebuilt(scene.layout, instances)), declared=scene.truth)


def with_instances(count: int, number: int) -> Variant:
    """Scene `number` of those with this many instances."""
    key = f"count-{count:02d}-{number:03d}"
    scene = draw_scene(number, split="complex", held_out=False, key=key, instances=count)
    return Variant(scene=scene, declared=scene.truth)


def with_canvas(shape: tuple[int, int], number: int) -> Variant:
    """Scene `number` of those of this width and height."""
    key = f"canvas-{shape[0]}x{shape[1]}-{number:03d}"
    scene = draw_scene(number, split="complex", held_out=False, key=key, canvas=shape)
    return Variant(scene=scene, declared=scene.truth)


def with_swapped_pair(scene: BenchScene) -> tuple[Variant, tuple[int, int]] | None:
    """The order with one pair swapped and every other relation kept, and that pair, the one in front first.

    Of all pairs whose swap leaves everything in sight, the one with the largest common part; None if there is none.
    """
    ranks = {place: rank for rank, place in enumerate(scene.back_to_front)}
    found: list[tuple[int, int, int]] = []
    for pair in scene.truth.pairs:
        behind, front = sorted(pair, key=lambda place: ranks[place])
        swapped = _swapped(scene, behind, front)
        if swapped is not None and _stays_visible(scene, swapped):
            common = int((scene.placed[front].mask & scene.placed[behind].mask).sum())
            found.append((common, front, behind))
    if not found:
        return None
    _, front, behind = max(found)
    order = _swapped(scene, behind, front)
    assert order is not None
    ids = [one.id for one in scene.layout.instances]
    nearest_first = tuple(ids[place] for place in reversed(order))
    layout = _reordered(scene.layout, FrontToBack(front_to_back=nearest_first))
    changed = replace(scene, layout=layout, back_to_front=order)
    return Variant(scene=changed, declared=changed.truth), (front, behind)


def _swapped(scene: BenchScene, behind: int, front: int) -> tuple[int, ...] | None:
    """Back to front with `behind` right before `front`; None if an object between them meets the former."""
    order = list(scene.back_to_front)
    between = order[order.index(behind) + 1 : order.index(front)]
    boxes = scene.layout.boxes
    if any(boxes[behind].intersection(boxes[other]) for other in between):
        return None
    order.remove(behind)
    order.insert(order.index(front) + 1, behind)
    return tuple(order)


def _stays_visible(scene: BenchScene, back_to_front: tuple[int, ...]) -> bool:
    free = np.ones_like(scene.placed[0].mask)
    for place in reversed(back_to_front):
        mask = scene.placed[place].mask
        if (mask & free).sum() < STILL_VISIBLE * mask.sum():
            return False
        free &= ~mask
    return True


def _relations(scene: BenchScene) -> dict[tuple[int, int], tuple[int, int]]:
    """For every two instances whose boxes overlap, the one in front and the one behind."""
    ranks = {place: rank for rank, place in enumerate(scene.back_to_front)}
    return {(i, j): (i, j) if ranks[i] > ranks[j] else (j, i) for i, j in sorted(overlapping_pairs(scene.layout.boxes))}


def _declaring(scene: BenchScene, relations: Mapping[tuple[int, int], tuple[int, int]]) -> Variant:
    ids = [one.id for one in scene.layout.instances]
    pairs = tuple(Pair(front=ids[front], behind=ids[behind]) for front, behind in relations.values())
    layout = _reordered(scene.layout, Pairs(pairs=pairs))
    order_NN = scene.truth.order.copy()
    for i, j in scene.truth.pairs:
        front, behind = relations[i, j]
        order_NN[front, behind], order_NN[behind, front] = 1, 0
    return Variant(scene=replace(scene, layout=layout), declared=Truth(order=order_NN))


def _reordered(layout: Layout, order: FrontToBack | Pairs | None) -> Layout:
    """The same layout with another order, in which loops are kept."""
    return Layout(
        prompt=layout.prompt,
        width=layout.width,
        height=layout.height,
        instances=layout.instances,
        order=order,
        cycles="allow",
    )


def _rebuilt(layout: Layout, instances: tuple[Instance, ...]) -> Layout:
    return Layout(
        prompt=layout.prompt, width=layout.width, height=layout.height, instances=instances, order=layout.order
    )


def _moved(box: Box, amount: float, rng: np.random.Generator) -> Box:
    x1, y1, x2, y2 = np.array(tuple(box)) + rng.uniform(-amount, amount, 4) * np.array([box.width, box.height] * 2)
    x1, y1 = min(max(x1, 0.0), 1 - LEAST_SIDE), min(max(y1, 0.0), 1 - LEAST_SIDE)
    return Box(x1, y1, min(max(x2, x1 + LEAST_SIDE), 1.0), min(max(y2, y1 + LEAST_SIDE), 1.0))
