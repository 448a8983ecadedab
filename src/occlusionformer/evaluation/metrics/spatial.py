"""mIoU and O-mIoU: detected boxes against declared ones (arXiv 2509.19282).

Boxes are x1, y1, x2, y2 in any unit, the same one for both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

Edges = Sequence[float]
Detections = Mapping[str, Sequence[Edges]]
"""Boxes found in a picture, by category."""


class Match(NamedTuple):
    """The detected box that is matched to a declared one."""

    box: tuple[float, ...]
    iou: float


def box_iou(box: Edges, other: Edges) -> float:
    """Intersection over union; 0 for boxes that are empty or inverted."""
    x1, y1, x2, y2 = box
    u1, v1, u2, v2 = other
    width = (x2 if x2 < u2 else u2) - (x1 if x1 > u1 else u1)
    height = (y2 if y2 < v2 else v2) - (y1 if y1 > v1 else v1)
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
    return common / union if union > 0 else 0.0


def iou_matrix(boxes: Sequence[Edges], others: Sequence[Edges]) -> np.ndarray:
    """(N, M) intersections over union of N boxes with M others."""
    rows, columns = np.asarray(boxes, float).reshape(-1, 1, 4), np.asarray(others, float).reshape(1, -1, 4)
    sides = np.minimum(rows[..., 2:], columns[..., 2:]) - np.maximum(rows[..., :2], columns[..., :2])
    common = np.where((sides > 0).all(-1), sides.prod(-1), 0.0)
    union = _areas(rows) + _areas(columns) - common
    return np.divide(common, union, out=np.zeros_like(common), where=(common > 0) & (union > 0))


def greedy_match(boxes: Sequence[Edges], categories: Sequence[str], detected: Detections) -> list[Match | None]:
    """For every declared box the detected one of its category that is matched to it, or None.

    Inside a category, pairs are accepted from the greatest overlap down while both boxes are free, those that do not
    overlap at all included; this is not the assignment with the greatest sum. Equal overlaps are taken in the order
    of the coordinates, so that the result does not depend on how either side is listed.
    """
    matches: list[Match | None] = [None] * len(boxes)
    places: dict[str, list[int]] = {}
    for place, category in enumerate(categories):
        places.setdefault(category, []).append(place)
    for category, declared in places.items():
        found = [tuple(box) for box in detected.get(category, ())]
        pairs = sorted(
            (-box_iou(boxes[place], box), tuple(boxes[place]), box, place, other)
            for place in declared
            for other, box in enumerate(found)
        )
        taken: set[int] = set()
        for negative, _, box, place, other in pairs:
            if matches[place] is None and other not in taken:
                taken.add(other)
                matches[place] = Match(box, -negative)
    return matches


def miou_image(boxes: Sequence[Edges], categories: Sequence[str], detected: Detections) -> float | None:
    """mIoU of one picture: the mean overlap of all declared boxes with their matches; None when none is declared."""
    return mean_overlap(greedy_match(boxes, categories, detected))


def mean_overlap(matches: Sequence[Match | None]) -> float | None:
    """The mean overlap of declared boxes with their matches, 0 for those without; None when there are none."""
    return math.fsum(match.iou for match in matches if match) / len(matches) if matches else None


def o_miou_image(
    boxes: Sequence[Edges], categories: Sequence[str], detected: Detections, pairs: Sequence[tuple[int, int]]
) -> float | None:
    """O-mIoU of one picture: see `overlap_of_pairs`."""
    return overlap_of_pairs(boxes, greedy_match(boxes, categories, detected), pairs)


def overlap_of_pairs(
    boxes: Sequence[Edges], matches: Sequence[Match | None], pairs: Sequence[tuple[int, int]]
) -> float | None:
    """The mean, over pairs of instances, of how far their declared common part is the common part of their matches.

    A pair of which one is not detected, or whose matches do not overlap, scores 0. None without pairs. Every
    instance stands for itself, also when another one has the very same box.
    """
    overlaps = []
    for i, j in pairs:
        first, second = matches[i], matches[j]
        found = first and second and _common(first.box, second.box)
        overlaps.append(box_iou(_common(boxes[i], boxes[j]), found) if found else 0.0)
    return math.fsum(overlaps) / len(overlaps) if overlaps else None


def _common(box: Edges, other: Edges) -> tuple[float, float, float, float]:
    """The common part, inverted where there is none."""
    return max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
