"""What a layout itself says about the picture: the truth of items that come with nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from occlusionformer.evaluation.benchmark import Truth
from occlusionformer.layout import Box, Layout

LEAST_IOU = 0.05
"""Overlap from which on a pair counts for O-mIoU where the data set does not list pairs."""


def truth_of(layout: Layout, *, categories: Sequence[str] | None = None) -> Truth:
    """Boxes in pixels of the canvas; categories, by default those of the instances, or their captions.

    Declared relations count as occlusions where the boxes meet: who is in front of something far away hides no part
    of it.
    """
    boxes = layout.boxes
    named = [instance.category or instance.caption for instance in layout.instances]
    order = None
    hides: set[tuple[int, int]] = set()
    if layout.zorder is not None:
        hides = {(i, j) for i, j in layout.zorder.edges if boxes[i].intersection(boxes[j])}
        places = range(len(boxes))
        order = tuple(tuple(int((i, j) in hides) for j in places) for i in places)
    return Truth(
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
    """Pairs whose boxes overlap by LEAST_IOU, or of which one hides the other and the boxes meet."""
    return tuple(
        (i, j)
        for i, j in combinations(range(len(boxes)), 2)
        if boxes[i].iou(boxes[j]) >= LEAST_IOU
        or (((i, j) in hides or (j, i) in hides) and boxes[i].intersection(boxes[j]))
    )
