"""Layout Grounding Score (arXiv 2509.16691): how well boxes are met, and attributes in boxes that are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from occlusionformer.evaluation.metrics.language import ATTRIBUTES, Count, is_yes
from occlusionformer.evaluation.metrics.spatial import Detections, Edges, box_iou

LEAST_IOU = 0.5
"""Overlap below which an instance counts as not met at all."""


def grounding(boxes: Sequence[Edges], categories: Sequence[str], detected: Detections) -> list[float]:
    """For every instance the overlap with the best box found for its category, 0 below LEAST_IOU.

    One found box may serve several instances: nothing is matched one to one here.
    """
    best = [
        max((box_iou(box, found) for found in detected.get(category, ())), default=0.0)
        for box, category in zip(boxes, categories, strict=True)
    ]
    return [iou if iou >= LEAST_IOU else 0.0 for iou in best]


def grounding_counts(
    overlaps: Sequence[float], answers: Mapping[str, Mapping[str, object]], names: Sequence[str]
) -> dict[str, Count]:
    """LGS of one picture: overlap, and for color, texture and shape the overlap where the answer is yes.

    All four are means over the instances of the whole set.
    """
    totals = {"miou": sum(overlaps), **dict.fromkeys(ATTRIBUTES, 0.0)}
    for name, iou in zip(names, overlaps, strict=True):
        answer = answers.get(name, {})
        for attribute in ATTRIBUTES:
            totals[attribute] += iou * is_yes(answer.get(attribute))
    return {name: Count(total, len(names)) for name, total in totals.items()}
