"""One rule for canvases that a model cannot draw: refused with the nearest size, or drawn in it when asked to."""

from __future__ import annotations

import pytest

from occlusionformer.generation import CanvasError, GenerationRequest, drawn_size, nearest_size
from occlusionformer.layout import Layout
from tests.tables import for_each


def request(side: int, other: int, **fields: object) -> GenerationRequest:
    return GenerationRequest(layout=Layout(prompt="a", width=side, height=other), **fields)


@for_each(
    ("canvas", "nearest"),
    [
        ((1024, 682), (1024, 688)),
        ((1500, 1000), (1504, 1008)),
        ((512, 512), (512, 512)),
        ((1, 7), (16, 16)),
        ((24, 23), (32, 16)),
        ((65_535, 17), (65_536, 16)),
    ],
)
def test_every_side_goes_to_the_nearest_multiple(canvas, nearest):
    assert nearest_size(*canvas) == nearest
    assert drawn_size(request(*canvas, nearest_size=True)) == nearest
    assert all(abs(side - own) <= 8 or side == 16 for side, own in zip(nearest, canvas, strict=True))


@pytest.mark.parametrize("multiple", [1, 8, 16, 64])
def test_what_is_drawn_fits_and_stays_when_it_fits_already(multiple):
    for side in range(1, 300):
        size = nearest_size(side, 2 * side, multiple)
        assert not any(each % multiple for each in size)
        assert nearest_size(*size, multiple) == size
        assert drawn_size(request(*size), multiple) == size


def test_other_canvases_are_refused_with_the_nearest():
    with pytest.raises(CanvasError) as caught:
        drawn_size(request(1500, 1000))
    assert caught.value.problems == [
        "width: expected a multiple of 16, got 1500; the nearest is 1504",
        "height: expected a multiple of 16, got 1000; the nearest is 1008",
    ]
    assert caught.value.nearest == (1504, 1008)
    assert list(caught.value.sides) == ["width", "height"]
    with pytest.raises(CanvasError, match=r"^height: expected a multiple of 8, got 682; the nearest is 680$"):
        drawn_size(request(1024, 682), 8)


def test_the_size_of_the_request_counts_not_the_layouts():
    assert drawn_size(request(1500, 1000, width=640, height=480)) == (640, 480)
    assert drawn_size(request(512, 512, height=500, nearest_size=True)) == (512, 496)
