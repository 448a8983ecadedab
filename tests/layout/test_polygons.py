"""Polygons as run lengths: every pixel against a ray from its middle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import LayoutError
from occlusionformer.layout.polygons import PolygonPainter
from tests.properties import examples

PLACES = st.integers(-20, 120).map(lambda place: place / 8.17)
RINGS = st.lists(st.tuples(PLACES, PLACES), min_size=3, max_size=7)


def is_inside(ring: list[tuple[float, float]], x: float, y: float) -> bool:
    """Whether a ray downwards crosses an odd number of edges."""
    odd = False
    for (x1, y1), (x2, y2) in zip(ring, ring[1:] + ring[:1], strict=True):
        if min(x1, x2) <= x < max(x1, x2) and y < y1 + (x - x1) * (y2 - y1) / (x2 - x1):
            odd = not odd
    return odd


@examples(100)
@given(st.lists(RINGS, min_size=1, max_size=3), st.integers(1, 12), st.integers(1, 12))
def test_pixels_are_set_where_their_middles_lie_inside(rings, width, height):
    rings = [[(min(max(x, 0), width), min(max(y, 0), height)) for x, y in ring] for ring in rings]
    runs = PolygonPainter().runs(rings, width=width, height=height)
    pixels = [place % 2 for place, count in enumerate(runs) for _ in range(count)]
    expected = [
        int(any(is_inside(ring, x + 0.5, y + 0.5) for ring in rings)) for x in range(width) for y in range(height)
    ]
    assert pixels == expected
    assert all(runs[1:])


def test_long_outlines_are_refused_before_they_are_drawn():
    ring = [(place % 2 * 60_000.0, float(place)) for place in range(20)]
    with pytest.raises(
        LayoutError, match="expected outlines that cross at most 1000000 columns of pixels in the whole"
    ):
        PolygonPainter().runs([ring], width=60_000, height=100)
