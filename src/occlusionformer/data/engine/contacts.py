"""Finds pairs of masks that touch. Arrays: N instances, H rows, W columns, P pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np

Masks: TypeAlias = Sequence[np.ndarray] | np.ndarray
"""N masks (H, W) bool, or one array (N, H, W)."""

PixelBox = tuple[int, int, int, int]
"""x1, y1, x2, y2; the last row and column lie before y2 and x2."""


def mask_box(mask_HW: np.ndarray) -> PixelBox:
    """The smallest box around a mask that has a set pixel."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def join(first: PixelBox, second: PixelBox) -> PixelBox:
    """The smallest box around two boxes."""
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def grown(mask_HW: np.ndarray, reach: int) -> np.ndarray:
    """A mask dilated by `reach` pixels in all eight directions."""
    result = mask_HW
    for axis in (0, 1):
        source, target = np.moveaxis(result, axis, 0), np.moveaxis(result.copy(), axis, 0)
        for step in range(1, reach + 1):
            target[step:] |= source[:-step]
            target[:-step] |= source[step:]
        result = np.moveaxis(target, 0, axis)
    return result


def touching_pairs(masks: Masks, *, reach: int) -> np.ndarray:
    """Pairs (first < second) of masks that lie at most `reach` pixels apart: (P, 2) int64."""
    boxes = [mask_box(mask) for mask in masks]
    spread = [grown(mask, reach) for mask in masks]
    found = [
        (first, second)
        for first, second in combinations(range(len(masks)), 2)
        if _near(boxes[first], boxes[second], reach) and bool((spread[first] & masks[second]).any())
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _near(first: PixelBox, second: PixelBox, reach: int) -> bool:
    return (
        first[0] < second[2] + reach
        and second[0] < first[2] + reach
        and first[1] < second[3] + reach
        and second[1] < first[3] + reach
    )
