"""Masks of records as arrays and back.

Arrays: H rows, W columns, N masks, R runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from occlusionformer.data.records.record import Box, Mask, RecordInstance
from occlusionformer.tensors.runs import (
    box_of_runs,
    checked_runs,
    compressed,
    mask_of_runs,
    resized_runs,
    runs_of_mask,
)

MOST_REMEMBERED = 50_000
"""Characters of counts whose numbers are kept for the next call; 64 masks then take at most 26 MB."""


def encode_mask(mask_HW: np.ndarray) -> Mask:
    """The mask of a boolean array (H, W)."""
    height, width = mask_HW.shape
    return mask_from_runs(runs_of_mask(mask_HW), height, width)


def mask_from_runs(runs_R: np.ndarray, height: int, width: int) -> Mask:
    """The mask with these run lengths."""
    return Mask(height=height, width=width, counts=compressed(runs_R))


def decode_masks(masks: Sequence[Mask]) -> np.ndarray:
    """Decode masks of one size, at least one, to (N, H, W) bool: a byte per pixel.

    Raises ValueError for run lengths that do not fill the size.
    """
    return np.stack([mask_of_runs(mask_runs(mask), mask.height, mask.width) for mask in masks])


def mask_runs(mask: Mask) -> np.ndarray:
    """(R,) int64, not to be written to: the run lengths of a mask.

    Raises ValueError for counts that are none, or do not fill the size.
    """
    read = _remembered_runs if len(mask.counts) <= MOST_REMEMBERED else checked_runs
    return read(mask.counts, mask.height, mask.width)


@lru_cache(maxsize=64)
def _remembered_runs(counts: str, height: int, width: int) -> np.ndarray:
    """Cached: a mask is mostly used several times in a row."""
    runs_R = checked_runs(counts, height, width)
    runs_R.setflags(write=False)
    return runs_R


def box_of(mask: Mask) -> Box:
    """The smallest box around a mask that has a set pixel. Raises ValueError as `mask_runs` does."""
    return box_of_runs(mask_runs(mask), mask.height)


def resized_mask(mask: Mask, height: int, width: int) -> np.ndarray:
    """A mask at another size, (height, width) bool; costs its runs and the new pixels."""
    return mask_of_runs(resized_runs(mask_runs(mask), (mask.height, mask.width), (height, width)), height, width)


def is_hidden(instance: RecordInstance) -> bool:
    """Whether an instance is known to be fully hidden. Raises ValueError as `mask_runs` does."""
    return instance.visible_mask is not None and is_empty(instance.visible_mask)


def is_empty(mask: Mask) -> bool:
    """Whether no pixel of a mask is set. Raises ValueError as `mask_runs` does."""
    return not mask_runs(mask)[1::2].any()
