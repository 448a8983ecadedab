"""How hard layouts are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import Box, Instance, Layout, LayoutError, Overlap, overlap, overlay_score
from tests.layout.drawn import boxes

LEFT, SHIFTED, FAR = Box(0, 0, 0.5, 0.5), Box(0.25, 0, 0.75, 0.5), Box(0.9, 0.9, 1, 1)


def layout(*drawn: Box) -> Layout:
    instances = [Instance(id=str(k), caption=f"thing {k}", box=box) for k, box in enumerate(drawn)]
    return Layout(prompt="things", width=100, height=100, instances=instances)


def test_overlap_of_a_worked_example():
    assert overlap([LEFT, SHIFTED, FAR]) == Overlap(
        num_pairs=1, max_iou=pytest.approx(1 / 3), total_iou=pytest.approx(1 / 3)
    )
    assert overlap([LEFT, FAR]) == overlap([]) == Overlap(num_pairs=0, max_iou=0.0, total_iou=0)


def test_the_score_weighs_overlap_by_likeness():
    score = overlay_score(layout(LEFT, SHIFTED, FAR, LEFT), lambda a, b: 0.5 if "thing 0" in (a, b) else -0.25)
    assert score == pytest.approx(0.5 * (1 / 3 + 1) - 0.25 / 3)


def test_a_matrix_is_the_same_as_a_function():
    matrix = [[1.0, 0.5, 0.9], [0.5, 1.0, 0.2], [0.9, 0.2, 1.0]]
    drawn = layout(LEFT, SHIFTED, LEFT)
    by_caption = {f"thing {k}": k for k in range(3)}
    expected = overlay_score(drawn, lambda a, b: matrix[by_caption[a]][by_caption[b]])
    assert overlay_score(drawn, matrix) == expected == pytest.approx((0.5 + 0.2) / 3 + 0.9)


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(LayoutError) as caught:
        overlay_score(layout(LEFT, SHIFTED), [[1.0, 0.5]])
    assert caught.value.problems == ["similarity: expected 2 lists of 2 numbers, got 1 lists of [2]"]


@given(st.lists(boxes(), max_size=6))
def test_captions_that_are_all_alike_score_the_sum_of_overlaps(drawn):
    assert overlay_score(layout(*drawn), lambda a, b: 1.0) == pytest.approx(overlap(drawn).total_iou)
    pairs = [(a, b) for k, b in enumerate(drawn) for a in drawn[:k]]
    assert overlap(drawn).max_iou == max((a.iou(b) for a, b in pairs), default=0)
