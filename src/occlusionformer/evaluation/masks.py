"""Masks as judges exchange them: COCO run lengths `{"size": [height, width], "counts": ...}`, None for an empty one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from occlusionformer.pictures import LIMITS
from occlusionformer.tensors.runs import checked_runs, compressed, mask_of_runs, runs_of_mask


def encode_mask(mask_HW: np.ndarray) -> dict[str, Any] | None:
    """None for a mask without a set pixel."""
    height, width = mask_HW.shape
    return mask_from_runs(runs_of_mask(mask_HW), height, width)


def mask_from_runs(runs_R: np.ndarray, height: int, width: int) -> dict[str, Any] | None:
    """The mask with these run lengths; None for one without a set pixel."""
    return {"size": [height, width], "counts": compressed(runs_R)} if runs_R[1::2].any() else None


def decode_mask(mask: Mapping[str, Any]) -> np.ndarray:
    """(H, W) bool: a byte for every pixel. Raises ValueError for runs that do not fill the size, or for a huge one."""
    height, width = mask["size"]
    if height * width > LIMITS.pixels:
        raise ValueError(f"size: expected at most {LIMITS.pixels:,} pixels, got {height} x {width}")
    return mask_of_runs(checked_runs(mask["counts"], height, width), height, width)
