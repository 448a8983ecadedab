"""Polygons drawn as run lengths. Pure Python."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from occlusionformer.layout.problems import LayoutError

Point = tuple[float, float]

MOST_CROSSINGS = 1_000_000
"""Of an edge and a column of pixels, in all polygons of a document: each takes a microsecond."""


@dataclass
class PolygonPainter:
    """Draws the polygons of one document, while that does not take long."""

    crossings: int = 0
    """What has been drawn."""

    def runs(self, rings: Sequence[Sequence[Point]], *, width: int, height: int) -> list[int]:
        """Run lengths, down the columns, of the pixels whose middle lies inside any of some polygons (even-odd rule).

        Points are pixels on the canvas. A mask without a set pixel is one unset run. Raises LayoutError where the
        outlines of all polygons so far are too long.
        """
        self.crossings += sum(map(_num_crossings, rings))
        if self.crossings > MOST_CROSSINGS:
            text = f"expected outlines that cross at most {MOST_CROSSINGS} columns of pixels in the whole document"
            raise LayoutError([f"{text}, got {self.crossings} up to here"])
        filled: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for ring in rings:
            for column, rows in _crossed(ring).items():
                rows.sort()
                ends = [min(max(math.ceil(row - 0.5), 0), height) for row in rows]
                pairs = zip(ends[::2], ends[1::2], strict=True)
                filled[column] += [(top, bottom) for top, bottom in pairs if top < bottom]
        return _runs(filled, width * height, height)


def _num_crossings(ring: Sequence[Point]) -> int:
    return sum(abs(_column(x2) - _column(x1)) for (x1, _), (x2, _) in zip(ring, _following(ring), strict=True))


def _crossed(ring: Sequence[Point]) -> dict[int, list[float]]:
    """Where the edges of a polygon cross the middle of each column of pixels."""
    rows: dict[int, list[float]] = defaultdict(list)
    for (x1, y1), (x2, y2) in zip(ring, _following(ring), strict=True):
        first, stop = sorted((_column(x1), _column(x2)))
        for column in range(first, stop):
            rows[column].append(y1 + (column + 0.5 - x1) * (y2 - y1) / (x2 - x1))
    return rows


def _column(x: float) -> int:
    """The first column whose middle lies at or to the right of x."""
    return math.ceil(x - 0.5)


def _following(ring: Sequence[Point]) -> Sequence[Point]:
    return [*ring[1:], ring[0]]


def _runs(filled: dict[int, list[tuple[int, int]]], num_pixels: int, height: int) -> list[int]:
    """Run lengths of ranges of rows by column; they may overlap."""
    borders: list[int] = []
    for column in sorted(filled):
        for top, bottom in sorted(filled[column]):
            start, stop = column * height + top, column * height + bottom
            if borders and start <= borders[-1]:
                borders[-1] = max(borders[-1], stop)
            else:
                borders += [start, stop]
    edges = [0, *borders, *([num_pixels] if not borders or borders[-1] < num_pixels else [])]
    return [edges[place + 1] - edges[place] for place in range(len(edges) - 1)]
