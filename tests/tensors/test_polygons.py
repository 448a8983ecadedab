"""Polygons on cells: against a ray from every lattice point, and at the cost of their corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from occlusionformer.tensors import polygons
from occlusionformer.tensors.polygons import SUBSAMPLES, coverage_of_polygon
from tests.clock import bounded
from tests.properties import examples
from tests.reference import regions

PLACES = st.integers(0, 1009).map(lambda place: place / 1009)
"""Fractions with a prime below: hardly any lattice point lies on an edge."""


@examples(80)
@given(st.lists(st.tuples(PLACES, PLACES), min_size=3, max_size=9), st.integers(1, 4), st.integers(1, 4))
def test_coverage_is_the_twins(points, rows, columns):
    """Edges may cross: what lies inside an even number of times is outside; on an edge rounding decides."""
    assume(not on_an_edge(points, rows, columns))
    found = coverage_of_polygon(points, (rows, columns))
    twin = regions.polygon_coverage(points, (rows, columns), SUBSAMPLES)
    np.testing.assert_allclose(found, twin, rtol=0, atol=1e-12)


def on_an_edge(points, rows, columns):
    """Whether a lattice point lies on an edge, as on one along the diagonal."""
    y, x = ((np.arange(count * SUBSAMPLES) + 0.5) / (count * SUBSAMPLES) for count in (rows, columns))
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        along = (x2 - x1) * (y[:, None] - y1) - (y2 - y1) * (x - x1)
        between = (x >= min(x1, x2)) & (x <= max(x1, x2)) & (y >= min(y1, y2))[:, None] & (y <= max(y1, y2))[:, None]
        if (between & (np.abs(along) < 1e-12)).any():
            return True
    return False


def test_a_line_along_lattice_points_has_them_on_its_edge():
    assert on_an_edge([(0.0, 0.0), (0.0, 0.0), (0.2, 0.2)], 4, 4)
    assert not on_an_edge([(0.0, 0.0), (0.0, 1.0), (0.3, 0.0)], 1, 3)


def test_a_polygon_in_many_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch):
    points = [tuple(point) for point in np.random.default_rng(0).random((300, 2))]
    whole = coverage_of_polygon(points, (6, 5))
    monkeypatch.setattr(polygons, "CHUNK", 100)
    assert np.array_equal(coverage_of_polygon(points, (6, 5)), whole)


def comb(teeth: int) -> list[tuple[float, float]]:
    """Every edge reaches from top to bottom; each tooth is as wide as the gap beside it."""
    points = [(place / teeth, float(corner in (1, 2))) for place in range(teeth) for corner in range(4)]
    return [(x + (corner >= 2) / 2 / teeth, y) for (x, y), corner in zip(points, [0, 1, 2, 3] * teeth, strict=True)]


def test_many_corners_cost_no_more_than_their_number():
    """As many as fit a document of a megabyte, on the grid of a canvas of 1024 x 1024."""
    points = comb(30_000)
    with bounded(2):
        shares = coverage_of_polygon(points, (64, 64))
    assert abs(shares.mean() - 0.5) < 0.1


def test_fewer_lines_are_drawn_where_there_are_very_many_crossings(monkeypatch: pytest.MonkeyPatch):
    points = comb(4)
    whole = coverage_of_polygon(points, (3, 4))
    monkeypatch.setattr(polygons, "MOST_CROSSINGS", 30)
    np.testing.assert_allclose(coverage_of_polygon(points, (3, 4)), whole, rtol=0, atol=1e-12)
