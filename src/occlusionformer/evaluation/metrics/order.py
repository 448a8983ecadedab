"""Who hides whom: judged occlusions against the declared ones (arXiv 2111.14562: recall, precision and F1).

Matrices are N x N: 1 in row i, column j says that i hides a part of j. Both directions at once are legal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

UNKNOWN = -1
"""In a truth: a pair that does not count."""

PairSet = Literal["all", "nbor"]


class Scores(NamedTuple):
    """How well the occlusions of one picture were met, each from 0 to 1."""

    recall: float
    precision: float
    f1: float


def occlusion_scores(
    predicted: ArrayLike, truth: ArrayLike, *, pairs: PairSet = "all", adjacent: ArrayLike | None = None
) -> Scores:
    """Recall, precision and F1 of one picture over all known pairs, in both directions.

    What nothing was to be divided by is 1: a picture without a declared and without a judged occlusion scores 1
    throughout. With `nbor`, pairs that are not `adjacent` are taken as judged to be apart; declared ones still count.

    Raises ValueError for matrices that are not of one square shape, or that hold something else than 0, 1 and, in
    the truth, -1.
    """
    judged, declared = _matrices(predicted, truth)
    if (pairs == "nbor") != (adjacent is not None):
        raise ValueError(f"adjacent: expected with pairs='nbor' and only there, got pairs={pairs!r}")
    if adjacent is not None:
        judged = judged & np.asarray(adjacent, bool)
    known = declared != UNKNOWN
    hits = int(np.count_nonzero(judged & (declared == 1)))
    num_judged, num_declared = int(np.count_nonzero(judged & known)), int(np.count_nonzero(declared == 1))
    return Scores(
        recall=_share(hits, num_declared),
        precision=_share(hits, num_judged),
        f1=_share(2 * hits, num_judged + num_declared),
    )


def has_occlusion(truth: ArrayLike) -> bool:
    """Whether anything is declared to hide anything."""
    return bool((np.asarray(truth) == 1).any())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _matrices(predicted: ArrayLike, truth: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    judged, declared = np.asarray(predicted), np.asarray(truth)
    if judged.size == declared.size == 0:
        return np.zeros((0, 0), bool), np.zeros((0, 0), int)
    if declared.ndim != 2 or declared.shape[0] != declared.shape[1]:
        raise ValueError(f"truth: expected a square matrix, got the shape {declared.shape}")
    if judged.shape != declared.shape:
        raise ValueError(f"predicted: expected the shape {declared.shape} of the truth, got {judged.shape}")
    for name, matrix, values in (("predicted", judged, (0, 1)), ("truth", declared, (UNKNOWN, 0, 1))):
        if not (known := np.isin(matrix, values)).all():
            raise ValueError(f"{name}: expected only {', '.join(map(str, values))}, got {matrix[~known][0]}")
    return judged == 1, declared
