"""Truths that follow from a layout alone, for items without annotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from occlusionformer.evaluation.benchmark import ItemTruth
from occlusionformer.layout import Box, Layout

LEAST_IOU = 0.05
"""The least IoU of a pair that counts for O-mIoU, where the data set does not list pairs."""


def truth_of(layout: Layout, *, categories: Sequence[str] | None = None) -> ItemTruth:
    """The truth of a layout: boxes in pixels of the canvas, categories (by default the captions where there are none).

    Declared relations count as occlusions only where the boxes overlap.
    """
    boxes = layout.boxes
    named = [instance.category or instance.caption for instance in layout.instances]
    order = None
    hides: set[tuple[int, int]] = set()
    if layout.zorder is not None:
        hides = {(i, j) for i, j in layout.zorder.edges if boxes[i].intersection(boxes[j])}
        places = range(len(boxes))
        order = tuple(tuple(int((i, j) in hides) for j in places) for i in places)
    return ItemTruth(
        boxes=tuple(pixels(box, layout.width, layout.height) for box in boxes),
        frame=(layout.width, layout.height),
        names=tuple(instance.id for instance in layout.instances),
        categories=tuple(named if categories is None else categories),
        overlap_pairs=counted_pairs(boxes, hides),
        order=order,
    )


def pixels(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    return box.x1 * width, box.y1 * height, box.x2 * width, box.y2 * height


def counted_pairs(boxes: Sequence[Box], hides: set[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Pairs of indices whose boxes overlap by LEAST_IOU, or overlap at all where one instance hides the other."""
    return tuple(
        (i, j)
        for i, j in combinations(range(len(boxes)), 2)
        if boxes[i].iou(boxes[j]) >= LEAST_IOU
        or (((i, j) in hides or (j, i) in hides) and boxes[i].intersection(boxes[j]))
    )
