"""Boxes: what is refused, and the geometry of what is not."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import Box, LayoutError
from occlusionformer.layout.box import overlap_bits, overlapping_pairs
from occlusionformer.layout.graph import bits_of
from tests.layout.drawn import boxes
from tests.tables import for_each


@for_each(
    ("edges", "problems"),
    [
        ((0.7, 0, 0.4, 1), ["box: expected x1 < x2, got 0.7 and 0.4"]),
        ((0.2, 0, 0.2, 1), ["box: expected x1 < x2, got 0.2 and 0.2"]),
        ((0, 0.5, 1, 0.25), ["box: expected y1 < y2, got 0.5 and 0.25"]),
        ((-0.1, 0, 1, 1.5), ["box: expected x1 from 0 to 1, got -0.1", "box: expected y2 from 0 to 1, got 1.5"]),
        ((0, 0, math.nan, 1), ["box: expected x2 to be a finite number, got nan"]),
        ((-math.inf, 0, 1, 1), ["box: expected x1 to be a finite number, got -inf"]),
        (
            (True, "0", 1, None),
            [
                "box: expected x1 to be a number, got true",
                "box: expected y1 to be a number, got '0'",
                "box: expected y2 to be a number, got null",
            ],
        ),
        ((0, 0, 10**70, 1), ["box: expected x2 from 0 to 1, got a number of more than 60 digits"]),
    ],
)
def test_a_wrong_box_is_refused_with_everything_that_is_wrong(edges, problems):
    with pytest.raises(LayoutError) as caught:
        Box(*edges)
    assert caught.value.problems == problems


def test_a_box_is_a_value():
    box = Box(0, 0.25, 1, 0.75)
    assert box == Box(0.0, 0.25, 1.0, 0.75)
    assert hash(box) == hash(Box(0.0, 0.25, 1.0, 0.75))
    assert list(box) == [0.0, 0.25, 1.0, 0.75]
    assert pickle.loads(pickle.dumps(box)) == copy.deepcopy(box) == box
    with pytest.raises(AttributeError):
        box.x1 = 0.5


def test_measures_of_a_box():
    box = Box(0.25, 0.5, 0.75, 0.75)
    assert (box.width, box.height, box.area, box.center) == (0.5, 0.25, 0.125, (0.5, 0.625))


def test_boxes_that_only_touch_have_no_intersection():
    assert Box(0, 0, 0.5, 1).intersection(Box(0.5, 0, 1, 1)) is None
    assert Box(0, 0, 0.5, 1).iou(Box(0.5, 0, 1, 1)) == 0


def test_iou_of_a_worked_example():
    left, right = Box(0, 0, 0.5, 0.5), Box(0.25, 0.25, 0.75, 0.75)
    assert left.intersection(right) == Box(0.25, 0.25, 0.5, 0.5)
    assert left.iou(right) == pytest.approx(1 / 7)


@given(boxes(), boxes())
def test_iou_is_symmetric_within_bounds_and_one_only_for_equals(first, second):
    assert first.iou(second) == second.iou(first)
    assert 0 <= first.iou(second) <= 1
    assert first.iou(first) == 1 or first.area == 0


@given(boxes(), st.integers(1, 2000), st.integers(1, 2000))
def test_pixels_lie_on_the_canvas_and_within_half_a_pixel_or_one_pixel_wide(box, width, height):
    x1, y1, x2, y2 = box.pixels(width, height)
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    for low, high, first, last, side in ((box.x1, box.x2, x1, x2, width), (box.y1, box.y2, y1, y2, height)):
        near = abs(low * side - first) <= 0.5 + 1e-9 and abs(high * side - last) <= 0.5 + 1e-9
        assert near or (last - first == 1 and first - 1e-9 <= (low + high) / 2 * side <= last + 1e-9)


def test_pixels_go_to_the_nearest_edge_and_halves_go_right():
    assert Box(0.1, 0.15, 0.5, 0.64).pixels(10, 10) == (1, 2, 5, 6)
    assert Box(0.501, 0.99, 0.502, 1).pixels(10, 10) == (5, 9, 6, 10)


def test_from_pixels_divides_by_the_canvas():
    assert Box.from_pixels(64, 0, 128, 96, width=256, height=96) == Box(0.25, 0, 0.5, 1)


def test_from_pixels_tells_its_problems_in_pixels():
    with pytest.raises(LayoutError) as caught:
        Box.from_pixels(64, -3, 32, 97, width=256, height=96)
    assert caught.value.problems == [
        "box: expected y1 from 0 to 96, got -3",
        "box: expected y2 from 0 to 96, got 97",
        "box: expected x1 < x2, got 64 and 32",
    ]


@given(st.lists(boxes(), max_size=12), st.sampled_from([0.0, 0.1]))
def test_overlapping_pairs_are_those_of_the_double_loop(drawn, margin):
    def overlap(a: Box, b: Box) -> bool:
        wide = a.x1 < b.x2 + margin and b.x1 < a.x2 + margin
        return wide and a.y1 < b.y2 + margin and b.y1 < a.y2 + margin

    expected = {(i, j) for j in range(len(drawn)) for i in range(j) if overlap(drawn[i], drawn[j])}
    found = list(overlapping_pairs(drawn, margin=margin))
    assert len(found) == len(set(found))
    assert set(found) == expected
    rows = overlap_bits(drawn, margin=margin)
    assert {(i, j) for i, row in enumerate(rows) for j in bits_of(row)} == expected | {(j, i) for i, j in expected}


@given(boxes())
def test_a_box_overlaps_itself(box):
    assert list(overlapping_pairs([box, box])) == [(0, 1)]
