"""Whether a picture is made of squares: its edges then lie on a grid.

Arrays: H rows, W columns, C colour channels, L lines between two rows or two columns.
"""

from __future__ import annotations

import numpy as np

LEAST_STEP = 2 / 255
"""Difference of two neighbours (sum over channels, 0..1 each) that counts as an edge."""
SQUARES = (2, 16)
"""Least and greatest side of the squares, in pixels."""
FEWEST_LINES = 4
"""Lines that a grid needs to have in a picture."""
MOST_OF_A_LINE = 1 / 8
"""Share of all edges that a line counts for at most: one long edge is no grid."""


def blockiness(picture_HWC: np.ndarray, expected_HWC: np.ndarray) -> float:
    """0..1: share of the edges that lie on the lines of a grid beyond the share that were expected to.

    So many are expected as there are in the expected picture, and as many as chance would have, at least.

    The grid is the one for which this is most, the same in both directions. 1: all edges are on it.
    """
    seen, expected = _edges(picture_HWC), _edges(expected_HWC)
    found = 0.0
    for side in range(SQUARES[0], SQUARES[1] + 1):
        excess = []
        for seen_L, expected_L in zip(seen, expected, strict=True):
            if len(seen_L) < FEWEST_LINES * side:
                return found
            excess.append(
                max(seen_L[first::side].sum() - max(expected_L[first::side].sum(), 1 / side) for first in range(side))
            )
        found = max(found, float(np.mean(excess)) * side / (side - 1))
    return min(found, 1.0)


def _edges(picture_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(L,) for the lines between rows and for those between columns: the share of all edges that each has."""
    across = np.abs(np.diff(picture_HWC, axis=1)).sum(axis=2)
    down = np.abs(np.diff(picture_HWC, axis=0)).sum(axis=2).T
    return _shares(down), _shares(across)


def _shares(steps_XL: np.ndarray) -> np.ndarray:
    """(L,) from (X, L): where a step is greater than those on both sides there is an edge."""
    padded_XL = np.pad(steps_XL, ((0, 0), (1, 1)))
    edge_XL = (steps_XL > LEAST_STEP) & (steps_XL > padded_XL[:, :-2]) & (steps_XL > padded_XL[:, 2:])
    count_L = edge_XL.sum(axis=0).astype(np.float64)
    shares_L: np.ndarray = np.minimum(count_L / max(count_L.sum(), 1.0), MOST_OF_A_LINE)
    return shares_L
