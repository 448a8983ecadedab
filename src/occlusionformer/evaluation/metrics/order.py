"""Occlusion order: recall, precision and F1 of judged occlusions (arXiv 2111.14562).

Matrices are N x N: 1 in row i, column j says that i hides a part of j. Both directions at once are legal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from occlusionformer.evaluation.metrics.matrices import UNKNOWN, square

PairSet = Literal["all", "nbor"]


class Scores(NamedTuple):
    """Scores of one picture, each 0 to 1."""

    recall: float
    precision: float
    f1: float


def occlusion_scores(
    predicted: ArrayLike, truth: ArrayLike, *, pairs: PairSet = "all", adjacent: ArrayLike | None = None
) -> Scores:
    """Recall, precision and F1 of one picture over all known pairs, in both directions.

    0 divided by 0 is 1: a picture without a declared and without a judged occlusion scores 1
    throughout. With `nbor`, pairs that are not `adjacent` are taken as judged to be apart; declared ones still count.

    Raises ValueError for matrices that are not of one square shape, or that hold something else than 0, 1 and, in
    the truth, -1.
    """
    declared = square("truth", truth, (UNKNOWN, 0, 1))
    judged = square("predicted", predicted, (0, 1), like=declared) == 1
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
    """Whether any occlusion is declared."""
    return bool((np.asarray(truth) == 1).any())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
