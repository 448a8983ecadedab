"""Masks as COCO run lengths and as arrays of H rows and W columns. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from occlusionformer.layout import rle


def encode_mask(mask_HW: np.ndarray) -> dict[str, Any] | None:
    """None for a mask without a set pixel."""
    if not mask_HW.any():
        return None
    down_columns = np.concatenate([[False], np.asarray(mask_HW, bool).ravel(order="F")])
    switches = np.flatnonzero(down_columns[1:] != down_columns[:-1])
    counts = np.diff(np.concatenate([[0], switches, [mask_HW.size]]))
    return {"size": list(mask_HW.shape), "counts": rle.compress([int(count) for count in counts])}


def decode_mask(mask: Mapping[str, Any]) -> np.ndarray:
    """(H, W) bool. Raises ValueError for runs that do not fill the size."""
    height, width = mask["size"]
    counts = mask["counts"]
    lengths = np.asarray(rle.decompress(counts) if isinstance(counts, str) else counts, int)
    if lengths.sum() != height * width or (lengths < 0).any():
        raise ValueError(f"counts: expected runs that add up to {height * width}, got {int(lengths.sum())}")
    down_columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return cast(np.ndarray, down_columns.reshape((height, width), order="F"))
