"""Which share of every cell lies inside a polygon: a lattice of points, filled line by line. No torch.

Arrays: V corners, E crossings of an edge with a line of the lattice, h rows and w columns of cells, r lines of c
points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

SUBSAMPLES = 8
"""Points a side at which a polygon is tested inside one cell: coverage is exact to 1/64."""

MOST_CROSSINGS = 2**25
"""Of edges and lines. A polygon with more is tested on half as many lines, and so on down to one a cell: its corners
are too many for each line to matter."""

CHUNK = 2**18
"""Crossings looked at together, at least: bounds memory, and stays in a processor's cache."""


def coverage_of_polygon(points: Sequence[tuple[float, float]], cells: tuple[int, int]) -> np.ndarray:
    """(h, w) float64: the share of the points of a regular lattice in each cell that lie inside, by the even-odd rule.

    Corners are fractions 0..1 of the sides of the whole grid of `cells`. Costs what there are lattice points, and what
    there are crossings of an edge with a line of the lattice: at most 2^25, or h for each edge.
    """
    rows, columns = cells
    corner_V2 = np.asarray(points, dtype=np.float64)
    lines, places = _num_lines(corner_V2[:, 1], rows), columns * SUBSAMPLES
    turned_rc = np.zeros(lines * (places + 1), dtype=np.int64)
    for line_E, across_E in _crossings(corner_V2, lines, max(CHUNK, len(turned_rc))):
        # All points of the line to the left of a crossing are turned over: here, those before the place of its end.
        end_E = np.clip(np.ceil(across_E * places - 0.5), 0, places).astype(np.int64)
        turned_rc += np.bincount(line_E * (places + 1) + end_E, minlength=len(turned_rc))
    inside_rc = turned_rc.reshape(lines, places + 1)[:, :0:-1].cumsum(axis=1)[:, ::-1] % 2
    share_hw: np.ndarray = inside_rc.reshape(rows, lines // rows, columns, SUBSAMPLES).mean(axis=(1, 3))
    return share_hw


def _num_lines(y_V: np.ndarray, rows: int) -> int:
    heights = float(np.abs(y_V - np.roll(y_V, 1)).sum())
    per_cell = SUBSAMPLES
    while per_cell > 1 and heights * rows * per_cell > MOST_CROSSINGS:
        per_cell //= 2
    return rows * per_cell


def _crossings(corner_V2: np.ndarray, lines: int, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The lines that edges cross, and where along them, about `chunk` at a time.

    An edge reaches from its upper end to just before its lower one, so that a line through a corner is crossed once.
    """
    (x1_V, y1_V), (x2_V, y2_V) = corner_V2.T, np.roll(corner_V2, -1, axis=0).T
    first_V, stop_V = (np.ceil(bound(y1_V, y2_V) * lines - 0.5).astype(np.int64) for bound in (np.minimum, np.maximum))
    crossing = np.flatnonzero(stop_V > first_V)
    first_V, count_V = first_V[crossing], (stop_V - first_V)[crossing]
    slope_V = (x2_V - x1_V)[crossing] / (y2_V - y1_V)[crossing]
    before_V = np.cumsum(count_V) - count_V
    start = 0
    while start < len(count_V):
        stop = max(start + 1, int(np.searchsorted(before_V, before_V[start] + chunk)))
        counts = count_V[start:stop]
        line_E = np.arange(counts.sum()) - np.repeat((before_V - before_V[start] - first_V)[start:stop], counts)
        down_E = (line_E + 0.5) / lines - np.repeat(y1_V[crossing][start:stop], counts)
        yield line_E, np.repeat(x1_V[crossing][start:stop], counts) + down_E * np.repeat(slope_V[start:stop], counts)
        start = stop
