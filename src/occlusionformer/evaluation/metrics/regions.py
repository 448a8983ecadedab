"""Masks: how far two overlap, and which touch. Masks on file are COCO run lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from occlusionformer.evaluation.metrics.language import Count
from occlusionformer.layout import RunLength
from occlusionformer.layout.rle import compress, decompress


class Runs:
    """A mask as the ends of its runs, unset ones first."""

    def __init__(self, mask: Mapping[str, Any] | RunLength) -> None:
        """Raises ValueError for run lengths that are none, or that do not fill the size."""
        size, counts = (mask.size, mask.counts) if isinstance(mask, RunLength) else (mask["size"], mask["counts"])
        lengths = np.asarray(decompress(counts) if isinstance(counts, str) else counts, np.int64)
        self.size = (int(size[0]), int(size[1]))
        if (lengths < 0).any() or lengths.sum() != self.size[0] * self.size[1]:
            raise ValueError(f"expected runs that fill {self.size[0]} x {self.size[1]}, got {lengths.sum()} pixels")
        self.ends = np.cumsum(lengths)
        self.filled = np.cumsum(np.where(np.arange(len(lengths)) % 2, lengths, 0))
        """Set pixels up to each end."""

    @property
    def area(self) -> int:
        return int(self.filled[-1])

    def common(self, other: Runs) -> int:
        """Number of pixels set in both."""
        if self.size != other.size:
            raise ValueError(f"expected masks of one size, got {self.size} and {other.size}")
        inside = np.interp(self.ends, np.r_[0, other.ends], np.r_[0, other.filled])
        set_runs = np.diff(inside, prepend=0.0)[1::2]
        return round(float(set_runs.sum()))


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

    Works on the runs alone: every run is cut at the column ends, and its pieces are moved.
    """
    runs = Runs(mask)
    old_height, old_width = runs.size
    starts, stops = (runs.ends - np.diff(runs.ends, prepend=0))[1::2], runs.ends[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    columns, counts = starts // old_height, (stops - 1) // old_height - starts // old_height + 1
    pieces = np.repeat(columns, counts) + _counted(counts)
    tops = _moved(np.maximum(np.repeat(starts, counts) - pieces * old_height, 0), old_height, height)
    bottoms = _moved(np.minimum(np.repeat(stops, counts) - pieces * old_height, old_height), old_height, height)
    lefts, rights = _moved(pieces, old_width, width), _moved(pieces + 1, old_width, width)
    copies = np.where(bottoms > tops, rights - lefts, 0)
    places = (np.repeat(lefts, copies) + _counted(copies)) * height
    ends = np.stack([places + np.repeat(tops, copies), places + np.repeat(bottoms, copies)], axis=1)
    if not len(ends):
        return None
    ends = ends[np.argsort(ends[:, 0])]
    is_new = np.r_[True, ends[1:, 0] > ends[:-1, 1]]
    joined = np.stack([ends[is_new, 0], ends[np.r_[is_new[1:], True], 1]], axis=1).ravel()
    lengths = np.diff(np.r_[0, joined, height * width])
    return {"size": [height, width], "counts": compress(lengths[: None if lengths[-1] else -1].tolist())}


def touching(masks: np.ndarray) -> np.ndarray:
    """(N, N) whether mask i, grown by one pixel up, down, left and right, meets mask j; of (N, H, W) masks.

    The pairs that `nbor` of arXiv 2111.14562 entries at. No mask touches itself.
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


def _counted(counts: np.ndarray) -> np.ndarray:
    """0, 1, ... up to each count, one after another."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _moved(edges: np.ndarray, old: int, new: int) -> np.ndarray:
    """The first of `new` pixels whose middle lies at or behind an edge among `old` ones."""
    return -((old - 2 * edges * new) // (2 * old))
