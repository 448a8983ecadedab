"""Square matrices about pairs of instances, checked once before they are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

UNKNOWN = -1
"""Value of a pair in a truth that does not count."""


def square(name: str, matrix: ArrayLike, values: Sequence[int], *, like: np.ndarray | None = None) -> np.ndarray:
    """A square matrix that holds only `values`, of the shape of the truth it is `like`. Raises ValueError."""
    found = np.asarray(matrix)
    if found.size == 0 and (like is None or like.size == 0):
        return np.zeros((0, 0), int)
    if like is None and (found.ndim != 2 or found.shape[0] != found.shape[1]):
        raise ValueError(f"{name}: expected a square matrix, got the shape {found.shape}")
    if like is not None and found.shape != like.shape:
        raise ValueError(f"{name}: expected the shape {like.shape} of the truth, got {found.shape}")
    if not (right := _isin(found, values)).all():
        raise ValueError(f"{name}: expected only {', '.join(map(str, values))}, got {found[~right][0]}")
    return found.astype(int, copy=False)


def _isin(matrix: np.ndarray, values: Sequence[int]) -> np.ndarray:
    right = matrix == values[0]
    for value in values[1:]:
        right = right | (matrix == value)
    return right
