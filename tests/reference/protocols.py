"""Published evaluations as plain loops over made-up replies, boxes and masks; nothing of the package is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

ATTRIBUTES = ("color", "texture", "shape")

Replies = Mapping[str, str]
"""What a model replies about one instance, by "spatial", "color", "texture" and "shape"."""


def layoutsam(pictures: Sequence[Sequence[Replies]]) -> dict[str, float]:
    """arXiv 2412.03859: an instance is present when the reply has `Yes` or `yes` in it; only then it has attributes."""
    sums = {"spatial": 0.0, "color": 0.0, "texture": 0.0, "shape": 0.0}
    number = 0
    for instances in pictures:
        for replies in instances:
            number += 1
            if "Yes" in replies["spatial"] or "yes" in replies["spatial"]:
                sums["spatial"] += 1
                for attribute in ATTRIBUTES:
                    if "Yes" in replies[attribute] or "yes" in replies[attribute]:
                        sums[attribute] += 1
    return {name: total / number for name, total in sums.items()}


def layout_grounding_score(pictures: Sequence[Sequence[Mapping[str, object]]]) -> dict[str, float]:
    """arXiv 2509.16691. An instance has `box` and `found` as fractions, `label`, `description` and `replies`."""
    sums = {"miou": 0.0, "color": 0.0, "texture": 0.0, "shape": 0.0}
    number = 0
    for instances in pictures:
        for each in instances:
            number += 1
            best = max([_iou(each["box"], found) for found in each["found"]], default=0.0)
            if best < 0.5:
                continue
            sums["miou"] += best
            if each["label"] == each["description"]:
                continue
            for attribute in ATTRIBUTES:
                if "yes" in each["replies"][attribute].lower():
                    sums[attribute] += best
    return {name: total / number for name, total in sums.items()}


def mask_miou(pictures: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]]) -> float:
    """arXiv 2506.00596: the mean over all instances of found and true masks; 0 where their union is empty."""
    total, number = 0.0, 0
    for pairs in pictures:
        for found, true in pairs:
            union = np.count_nonzero(found | true)
            total += np.count_nonzero(found & true) / union if union else 0.0
            number += 1
    return total / number


def _iou(box: Sequence[float], other: Sequence[float]) -> float:
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, bottom = min(box[2], other[2]), min(box[3], other[3])
    if right <= left or bottom <= top:
        return 0.0
    common = (right - left) * (bottom - top)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (box, other)]
    return common / (sum(areas) - common)
