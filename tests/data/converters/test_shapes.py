"""Polygons and run lengths of foreign files: what is drawn, what is refused unseen by native code, what is mended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.data.converters.shapes import ShapeError, ShapeReader
from occlusionformer.data.records import decode_masks
from occlusionformer.layout import rle
from tests.properties import examples
from tests.tables import for_each

HEIGHT, WIDTH = 4, 6
SQUARE = [1, 0, 3, 0, 3, 4, 1, 4]


def drawn(shape: Any, **settings: Any) -> np.ndarray:
    return decode_masks([ShapeReader(HEIGHT, WIDTH, **settings).mask(shape)])[0]


def problems(shape: Any, height: int = HEIGHT, width: int = WIDTH) -> list[str]:
    with pytest.raises(ShapeError) as caught:
        ShapeReader(height, width).mask(shape)
    return list(map(str, caught.value.problems))


@for_each(
    "shape",
    [
        {"size": [4, 6], "counts": [4, 8, 12]},
        {"size": [4, 6], "counts": rle.compress([4, 8, 12])},
        [SQUARE],
        SQUARE,
        [[1, 0, 2, 0, 2, 4, 1, 4], [2, 0, 3, 0, 3, 4, 2, 4]],
        [[1, -3, 3, -3, 3, 7, 1, 7]],
    ],
)
def test_shapes_of_coco_files(shape):
    expected_HW = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected_HW[:, 1:3] = True
    assert np.array_equal(drawn(shape), expected_HW)


def test_many_polygons_are_united():
    rings = [[x, 0, x + 1, 0, x + 1, 20, x, 20] for x in range(0, 300, 2)]
    mask = ShapeReader(20, 300).mask(rings)
    assert np.array_equal(decode_masks([mask])[0], np.broadcast_to(np.arange(300) % 2 == 0, (20, 300)))


FAR = "expected corners on the picture of 6 x 4, or less than its sides away from it, got"


@for_each(
    ("shape", "message"),
    [
        ([], "expected polygons or a run-length mask, got []"),
        ("x", "expected polygons or a run-length mask, got 'x'"),
        (3, "expected polygons or a run-length mask, got 3"),
        ([[1, 2, 3]], "[0]: expected at least three corners x, y, got 3 numbers [1, 2, 3]"),
        ([SQUARE, [5]], "[1]: expected at least three corners x, y, got 1 number [5]"),
        ([1, 2, 3, 4], "expected at least three corners x, y, got 4 numbers [1, 2, 3, 4]"),
        ([[1] * 7], "[0]: expected at least three corners x, y, got 7 numbers [1, 1, 1, 1, 1, 1, 1]"),
        ([["a"] * 6], "[0]: expected numbers x1, y1, x2, y2, x3, y3, ..., got ['a', 'a', 'a', 'a', 'a', 'a']"),
        ([SQUARE, True], "[1]: expected numbers x1, y1, x2, y2, x3, y3, ..., got true"),
        ([[True, 0, 3, 0, 3, 4]], "[0]: expected numbers x1, y1, x2, y2, x3, y3, ..., got [true, 0, 3, 0, 3, 4]"),
        ([[[[SQUARE]]]], "[0]: expected numbers x1, y1, x2, y2, x3, y3, ..., got [[[[...]]]]"),
        ([[1, 0, 2.1e8, 3.5e8, 3, 4]], f"[0]: {FAR} [210000000.0, 350000000.0]"),
        ([[1, 0, 1e308, 0, -1e308, 4]], f"[0]: {FAR} [1e+308, 0]"),
        ([[1, 0, 3, 0, float("nan"), 4]], f"[0]: {FAR} [nan, 4]"),
        ([[1, 0, 3, 0, 3, 10**400]], f"[0]: {FAR} [3, a number of more than 60 digits]"),
        ([[1, 0, 1, 0, 1, 0]], "expected polygons that cover at least one pixel, got [[1, 0, 1, 0, 1, 0]]"),
        ({}, "size: expected the size of the picture, [4, 6], got nothing"),
        ({"size": [6, 4], "counts": [24]}, "size: expected the size of the picture, [4, 6], got [6, 4]"),
        ({"size": [4.0, 6], "counts": [24]}, "size: expected the size of the picture, [4, 6], got [4.0, 6]"),
        ({"size": "46", "counts": [24]}, "size: expected the size of the picture, [4, 6], got '46'"),
        ({"size": [4, 6]}, "counts: expected a COCO compressed string or a list of whole numbers, got nothing"),
        ({"size": [4, 6], "counts": [4.0, 20]}, "counts: expected whole numbers, got 4.0"),
        ({"size": [4, 6], "counts": [10, 20, 30]}, "counts: expected runs that add up to 4 x 6 = 24, got 60"),
        ({"size": [4, 6], "counts": [-4, 28]}, "counts: expected run lengths of at least 0, got -4"),
    ],
)
def test_the_reason_is_the_true_one(shape, message):
    assert problems(shape)[0].startswith(message)


def test_every_polygon_that_is_wrong_is_told():
    assert [line.partition(":")[0] for line in problems([[1], SQUARE, [1, 0, 1e9, 0, 3, 4]])] == ["[0]", "[2]"]


def test_an_outline_too_long_to_draw_is_refused():
    """From side to side of the largest picture, again and again."""
    ring = [number for y in range(20) for number in (65_535 * (y % 2), y)]
    (message,) = problems([ring], 65_535, 65_535)
    assert message.startswith("expected outlines of at most 1000000 pixels, got 1310700")


def test_very_many_polygons_are_refused():
    assert problems([SQUARE] * 10_001) == ["expected at most 10000 polygons, got 10001"]


def test_the_largest_picture_is_drawn_at_the_cost_of_its_outline():
    side = 65_535
    mask = ShapeReader(side, side).mask([[0, 0, side, 0, side, side, 0, side]] * 2)
    assert mask.counts == rle.compress([0, side * side])


@examples(200)
@given(
    st.lists(
        st.lists(st.one_of(st.integers(-30, 30), st.floats(), st.integers(), st.booleans()), max_size=10), max_size=4
    ),
    st.booleans(),
)
def test_any_numbers_are_drawn_or_refused(rings, is_repairing):
    repairs: list[Any] | None = [] if is_repairing else None
    try:
        mask = ShapeReader(HEIGHT, WIDTH, repairs).mask(rings)
    except ShapeError:
        return
    assert decode_masks([mask]).any()


def test_repairs_leave_out_stray_polygons_and_cut_others_off():
    repairs: list[Any] = []
    wide = [1, 0, 6e9, 0, 6e9, 2, 1, 2]
    found_HW = drawn([[5, 5], wide, ["x"]], repairs=repairs)
    expected_HW = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected_HW[:2, 1:] = True
    assert np.array_equal(found_HW, expected_HW)
    assert list(map(str, repairs)) == [
        "[0]: left out: expected at least three corners x, y, got 2 numbers [5, 5]",
        f"[1]: cut off at the edges of the picture: {FAR} [6000000000.0, 0]",
        "[2]: left out: expected numbers x1, y1, x2, y2, x3, y3, ..., got ['x']",
    ]


def test_repairs_read_bytes_that_were_written_as_text():
    text = rle.compress([4, 8, 12])
    repairs: list[Any] = []
    assert np.array_equal(drawn({"size": [4, 6], "counts": str(text.encode())}, repairs=repairs), drawn([SQUARE]))
    assert list(map(str, repairs)) == [f"counts: read as the bytes it shows: {str(text.encode())!r}"]


@examples(100)
@given(st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), min_size=3, max_size=8))
def test_a_polygon_that_is_cut_off_covers_what_it_covers(points):
    """As drawn whole by COCO, but for pixels at the outline; the corners are far away only for so small a picture."""
    ring = [number for point in points for number in point]
    try:
        whole_HW = decode_masks([ShapeReader(60, 60).mask([[number + 30 for number in ring]])])[0][30:34, 30:36]
        cut_HW = drawn([ring], repairs=[])
    except ShapeError:
        return
    assert np.count_nonzero(whole_HW != cut_HW) <= 2 * len(points) * (HEIGHT + WIDTH) / 2
