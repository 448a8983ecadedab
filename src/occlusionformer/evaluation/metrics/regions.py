"""Masks: how far two overlap, and which touch. Masks on file are COCO run lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from occlusionformer.evaluation.masks import mask_from_runs
from occlusionformer.evaluation.metrics.language import Count
from occlusionformer.layout import RunLength
from occlusionformer.layout.region import LONGEST_SIDE
from occlusionformer.tensors.runs import checked_runs, num_set, resized_runs, shared_pixels


class Runs:
    """A mask as the lengths of its runs."""

    def __init__(self, mask: Mapping[str, Any] | RunLength) -> None:
        """Raises ValueError for run lengths that are none, or that do not fill the size."""
        size, counts = (mask.size, mask.counts) if isinstance(mask, RunLength) else (mask["size"], mask["counts"])
        height, width = map(int, size)
        if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE):
            raise ValueError(f"expected a size of 1 to {LONGEST_SIDE} pixels a side, got {height} x {width}")
        self.size = (height, width)
        self.lengths = checked_runs(counts, height, width)
        self.area = num_set(self.lengths)

    def common(self, other: Runs) -> int:
        """Number of pixels set in both."""
        if self.size != other.size:
            raise ValueError(f"expected masks of one size, got {self.size} and {other.size}")
        return shared_pixels(self.lengths, other.lengths)


Encoded = Mapping[str, Any] | RunLength | Runs | None
"""`{"size": [height, width], "counts": ...}`, or None for a mask without a pixel."""


def mask_iou(mask: Encoded, other: Encoded) -> float:
    """Intersection over union; 0 when either is empty. Raises ValueError for masks of different size."""
    if mask is None or other is None:
        return 0.0
    first, second = _runs(mask), _runs(other)
    common = first.common(second)
    union = first.area + second.area - common
    return common / union if union else 0.0


def mask_overlaps(found: Sequence[Encoded], truth: Sequence[Encoded], *, counts_empty: bool = True) -> Count:
    """Class-agnostic MIoU of one picture (arXiv 2506.00596): the sum over its instances, and their number.

    The figure of a set is the mean over all its instances, not over pictures. A true mask without a pixel (None)
    counts 0, as in published code; without `counts_empty` it is left out.
    """
    pairs = [(mask, known) for mask, known in zip(found, truth, strict=True) if counts_empty or known is not None]
    return Count(math.fsum(mask_iou(mask, known) for mask, known in pairs), len(pairs))


def resized(mask: Mapping[str, Any] | RunLength, height: int, width: int) -> dict[str, Any] | None:
    """The mask on a canvas of another size, by the pixel under the middle of each new one; None if none is set.

    Costs what there are runs on the new canvas.
    """
    runs = Runs(mask)
    return mask_from_runs(resized_runs(runs.lengths, runs.size, (height, width)), height, width)


def touching(masks: np.ndarray) -> np.ndarray:
    """(N, N) whether mask i, grown by one pixel up, down, left and right, meets mask j; of (N, H, W) masks.

    The pairs that `nbor` of arXiv 2111.14562 compares. No mask touches itself.
    """
    pixels = np.asarray(masks, bool)
    grown = pixels.copy()
    grown[:, 1:] |= pixels[:, :-1]
    grown[:, :-1] |= pixels[:, 1:]
    grown[:, :, 1:] |= pixels[:, :, :-1]
    grown[:, :, :-1] |= pixels[:, :, 1:]
    count = len(pixels)
    met = grown.reshape(count, -1).astype(np.float32) @ pixels.reshape(count, -1).astype(np.float32).T > 0
    np.fill_diagonal(met, False)
    return met


def _runs(mask: Mapping[str, Any] | RunLength | Runs) -> Runs:
    return mask if isinstance(mask, Runs) else Runs(mask)
