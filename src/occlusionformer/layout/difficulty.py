"""Difficulty of a layout: overlap of boxes, and similarity of the captions that overlap. Needs no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from occlusionformer.layout.box import Box, overlapping_pairs
from occlusionformer.layout.problems import LayoutError, Problem
from occlusionformer.layout.schema import Layout

Similarity = Callable[[str, str], float] | Sequence[Sequence[float]]
"""How alike two captions are, -1 to 1: a function of both, or a square of numbers by place of the instances."""


@dataclass(frozen=True)
class Overlap:
    """How much the boxes of a layout overlap."""

    num_pairs: int
    """Pairs of boxes that overlap."""
    max_iou: float
    """Intersection over union of the two that overlap most; 0 when none do."""
    total_iou: float
    """Sum over all pairs: the OverLayScore of captions that are all alike."""


def overlap(boxes: Sequence[Box]) -> Overlap:
    ious = [boxes[i].iou(boxes[j]) for i, j in sorted(overlapping_pairs(boxes))]
    return Overlap(num_pairs=len(ious), max_iou=max(ious, default=0.0), total_iou=sum(ious))


def overlay_score(layout: Layout, similarity: Similarity) -> float:
    """OverLayScore (arXiv 2509.19282): over all pairs, intersection over union times the similarity of the captions.

    The benchmark takes the cosine of CLIP text embeddings. Raises LayoutError for a matrix that does not
    have a row and a column for every instance.
    """
    instances = layout.instances
    if not callable(similarity):
        _check_square(similarity, len(instances))
    score = 0.0
    for i, j in sorted(overlapping_pairs([instance.box for instance in instances])):
        alike = similarity(instances[i].caption, instances[j].caption) if callable(similarity) else similarity[i][j]
        score += instances[i].box.iou(instances[j].box) * alike
    return score


def _check_square(matrix: Sequence[Sequence[float]], size: int) -> None:
    lengths = [len(row) for row in matrix]
    if lengths != [size] * size:
        got = f"{len(lengths)} lists of {sorted(set(lengths))}"
        raise LayoutError([Problem(("similarity",), f"expected {size} lists of {size} numbers, got {got}")])
