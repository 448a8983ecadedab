"""Frechet distance of two sets of feature vectors, as FID takes it: Gaussians with unbiased covariance.

A Gaussian is held as a root R of its covariance, R^T R. The trace of the root of a product of covariances is then the
sum of the singular values of R1 R2^T: exact also for fewer pictures than features, where a matrix root is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

MANY = 2
"""With more pictures than this many times the features, the covariance is computed and its root taken."""
BLOCK = 1024
"""Rows processed at a time."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and root of the covariance of a set of feature vectors."""

    mean: np.ndarray
    root: np.ndarray
    """(any, D) with root^T root the covariance."""

    @classmethod
    def of_features(cls, features: ArrayLike) -> Gaussian:
        """Of (pictures, D) features. Raises ValueError for fewer than two pictures, and for features not finite."""
        rows = np.asarray(features)
        if rows.ndim != 2 or len(rows) < 2 or not rows.shape[1]:
            raise ValueError(f"features: expected at least two rows of numbers, got the shape {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("features: expected finite numbers")
        mean = rows.mean(axis=0, dtype=float)
        if len(rows) > MANY * rows.shape[1]:
            return cls.of_covariance(mean, _scatter(rows, mean) / (len(rows) - 1))
        root: np.ndarray = (rows - mean) / np.sqrt(len(rows) - 1)
        if len(root) > rows.shape[1]:
            root = np.asarray(np.linalg.qr(root, mode="r"))
        return cls(mean, root)

    @classmethod
    def of_covariance(cls, mean: ArrayLike, covariance: ArrayLike) -> Gaussian:
        """Of statistics that were computed elsewhere. Raises ValueError for shapes that do not belong together."""
        middle, spread = np.asarray(mean, float), np.asarray(covariance, float)
        if middle.ndim != 1 or spread.shape != (len(middle), len(middle)):
            raise ValueError(f"covariance: expected a square for a mean of {middle.shape}, got {spread.shape}")
        even = (spread + spread.T) / 2
        try:
            return cls(middle, np.linalg.cholesky(even).T)
        except np.linalg.LinAlgError:  # spread in fewer directions than there are features
            values, vectors = np.linalg.eigh(even)
            return cls(middle, np.sqrt(values.clip(0))[:, None] * vectors.T)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). Raises ValueError for features of different length."""
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"expected features of one length, got {len(first.mean)} and {len(second.mean)}")
    shared = np.linalg.svd(first.root @ second.root.T, compute_uv=False).sum()
    spread = np.square(first.root).sum() + np.square(second.root).sum() - 2 * shared
    return float(max(0.0, np.square(first.mean - second.mean).sum() + spread))


def _scatter(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Sum of the products of deviations; a block at a time, so that rows in single precision stay that."""
    total = np.zeros((len(mean), len(mean)))
    for start in range(0, len(rows), BLOCK):
        deviations = rows[start : start + BLOCK] - mean
        total += deviations.T @ deviations
    return total
