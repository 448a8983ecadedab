"""Layout Grounding Score (arXiv 2509.16691): how well boxes are met, and attributes in boxes that are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from occlusionformer.evaluation.metrics.language import ATTRIBUTES, Count, is_yes
from occlusionformer.evaluation.metrics.spatial import Detections, Edges, box_iou

LEAST_IOU = 0.5
"""Overlap below which an instance counts as not met at all."""


class BestBox(NamedTuple):
    """The detected box that overlaps a declared one most."""

    place: int
    """Index among the detected boxes; meaningless when `iou` is 0."""
    iou: float
    """Intersection over union, 0 to 1; 0 below LEAST_IOU."""


def best_box(box: Edges, detected: Sequence[Edges]) -> BestBox:
    """The detected box with the greatest overlap, the first of several equal ones."""
    best = BestBox(0, 0.0)
    for place, found in enumerate(detected):
        iou = box_iou(box, found)
        if iou > best.iou:
            best = BestBox(place, iou)
    return best if best.iou >= LEAST_IOU else BestBox(best.place, 0.0)


def grounding(boxes: Sequence[Edges], categories: Sequence[str], detected: Detections) -> list[float]:
    """For every instance the overlap with the best box found for its category, 0 below LEAST_IOU.

    One found box may serve several instances: nothing is matched one to one here.
    """
    return [best_box(box, detected.get(category, ())).iou for box, category in zip(boxes, categories, strict=True)]


def grounding_counts(
    overlaps: Sequence[float], answers: Mapping[str, Mapping[str, object]], names: Sequence[str]
) -> dict[str, Count]:
    """LGS of one picture: overlap, and for color, texture and shape the overlap where the answer is yes.

    All four are means over the instances of the whole set. Instances that were not asked about count as no: those
    that were not detected, and those whose description says no more than their category.
    """
    totals = {"miou": sum(overlaps), **dict.fromkeys(ATTRIBUTES, 0.0)}
    for name, iou in zip(names, overlaps, strict=True):
        answer = answers.get(name, {})
        for attribute in ATTRIBUTES:
            totals[attribute] += iou * is_yes(answer.get(attribute))
    return {name: Count(total, len(names)) for name, total in totals.items()}
