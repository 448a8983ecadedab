from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from occlusionformer.evaluation.metrics.spatial import (
    box_iou,
    greedy_match,
    iou_matrix,
    miou_image,
    o_miou_image,
    overlap_of_pairs,
)
from tests.properties import examples

NEAR, FAR = [0, 0, 10, 10], [20, 20, 30, 30]

edges = st.integers(0, 12)
boxes = st.tuples(edges, edges, st.integers(1, 8), st.integers(1, 8)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
any_boxes = st.tuples(*[st.integers(-3, 12)] * 4)
named = st.tuples(boxes, st.sampled_from(["cat", "dog"]))
scenes = st.lists(named, min_size=1, max_size=6)


def by_category(things):
    found = {}
    for box, category in things:
        found.setdefault(category, []).append(box)
    return found


def columns(things):
    return [box for box, _ in things], [category for _, category in things]


def test_half_of_two_cats_are_found():
    assert miou_image([NEAR, FAR], ["cat", "cat"], {"cat": [NEAR]}) == 0.5


def test_a_box_far_away_adds_nothing():
    assert miou_image([NEAR, FAR], ["cat", "cat"], {"cat": [NEAR, [100, 100, 110, 110]]}) == 0.5


def test_boxes_of_another_category_do_not_count():
    assert miou_image([NEAR], ["cat"], {"Cat": [NEAR], "dog": [NEAR]}) == 0.0


def test_surplus_boxes_cost_nothing():
    assert miou_image([NEAR], ["cat"], {"cat": [NEAR, FAR, [1, 1, 9, 9]]}) == 1.0


def test_nothing_declared_has_no_score():
    assert miou_image([], [], {"cat": [NEAR]}) is None
    assert o_miou_image([NEAR], ["cat"], {"cat": [NEAR]}, []) is None


def test_greedy_is_not_the_best_assignment():
    """Greedy takes .6 and is left with 0; the best sum takes both .5."""
    truth = [(0, 0, 60, 10), (35, 0, 95, 10)]
    found = {"cat": [(15, 0, 75, 10), (0, 0, 30, 10)]}
    overlaps = iou_matrix(truth, found["cat"])
    np.testing.assert_allclose(overlaps, [[0.6, 0.5], [0.5, 0]])
    assert miou_image(truth, ["cat", "cat"], found) == pytest.approx(0.3)
    assert overlaps[linear_sum_assignment(-overlaps)].mean() == pytest.approx(0.5)


@given(scenes, scenes)
def test_greedy_differs_from_the_best_assignment_only_when_a_taken_pair_blocks_a_better_sum(declared, detected):
    """Greedy takes the greatest overlap left until none is; the best assignment has at least its sum, at most twice."""
    truth, categories = columns(declared)
    found = by_category(detected)
    matches = greedy_match(truth, categories, found)
    for category in set(categories):
        places = [place for place, name in enumerate(categories) if name == category]
        overlaps = iou_matrix([truth[place] for place in places], found.get(category, []))
        best = overlaps[linear_sum_assignment(-overlaps)].sum()
        greedy = sum(matches[place].iou for place in places if matches[place])
        left = overlaps.copy()
        by_hand = []
        while left.size and left.max() >= 0:
            row, column = np.unravel_index(left.argmax(), left.shape)
            by_hand.append(left[row, column])
            left[row], left[:, column] = -1, -1
        assert len(by_hand) == min(overlaps.shape) == sum(matches[place] is not None for place in places)
        if len(np.unique(overlaps[overlaps > 0])) == np.count_nonzero(overlaps):  # without ties greedy is one thing
            assert greedy == pytest.approx(sum(by_hand), abs=1e-12)
        assert best / 2 - 1e-12 <= greedy <= best + 1e-12


def test_shifted_boxes_score_the_shift_of_their_common_part():
    truth = [[0, 0, 20, 20], [10, 10, 30, 30]]
    shifted = {"dog": [[5, 0, 25, 20]], "cat": [[15, 10, 35, 30]]}
    assert miou_image(truth, ["dog", "cat"], shifted) == pytest.approx(0.6)
    assert o_miou_image(truth, ["dog", "cat"], shifted, [(0, 1)]) == pytest.approx(1 / 3)


def test_a_pair_found_on_one_side_scores_nothing():
    truth = [[0, 0, 20, 20], [10, 10, 30, 30]]
    assert o_miou_image(truth, ["dog", "cat"], {"dog": [truth[0]]}, [(0, 1)]) == 0.0


def test_boxes_that_no_longer_meet_score_nothing():
    truth = [[0, 0, 20, 20], [10, 10, 30, 30]]
    apart = {"dog": [[0, 0, 10, 10]], "cat": [[20, 20, 30, 30]]}
    assert o_miou_image(truth, ["dog", "cat"], apart, [(0, 1)]) == 0.0


def test_instances_with_one_box_stand_for_themselves():
    """Two cats in one place, one found: pairs with the other cat are lost."""
    truth, categories = [[0, 0, 20, 20], [0, 0, 20, 20], [10, 10, 30, 30]], ["cat", "cat", "dog"]
    matches = greedy_match(truth, categories, {"cat": [truth[0]], "dog": [truth[2]]})
    assert overlap_of_pairs(truth, matches, [(0, 2), (1, 2)]) == 0.5


@given(any_boxes, any_boxes)
def test_overlap_is_the_same_both_ways_and_in_the_matrix(box, other):
    value = box_iou(box, other)
    assert 0 <= value <= 1
    assert value == box_iou(other, box)
    np.testing.assert_allclose(iou_matrix([box], [other]), [[value]], atol=1e-15)


def test_inverted_and_empty_boxes_overlap_nothing():
    assert box_iou((10, 10, 0, 0), (0, 0, 10, 10)) == 0.0
    assert box_iou((5, 5, 5, 5), (0, 0, 10, 10)) == 0.0
    assert iou_matrix([(5, 5, 5, 5)], [(5, 5, 5, 5)]).tolist() == [[0.0]]


@given(scenes)
def test_perfect_detections_score_one(declared):
    truth, categories = columns(declared)
    pairs = [
        (i, j)
        for i in range(len(truth))
        for j in range(i)
        if box_iou(truth[i], truth[j]) > 0
    ]  # fmt: skip
    found = by_category(declared)
    assert miou_image(truth, categories, found) == 1.0
    if pairs:
        assert o_miou_image(truth, categories, found, pairs) == 1.0


@examples(200)
@given(scenes, scenes, st.randoms(use_true_random=False))
def test_how_instances_are_listed_changes_nothing(declared, detected, random):
    truth, categories = columns(declared)
    pairs = [(i, j) for i in range(len(truth)) for j in range(i)]
    order = list(range(len(declared)))
    random.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    shuffled = [declared[old] for old in order]
    random.shuffle(detected)
    found, found_shuffled = by_category(detected), by_category(random.sample(detected, len(detected)))
    assert miou_image(truth, categories, found) == miou_image(*columns(shuffled), found_shuffled)
    if len(set(declared)) == len(declared):  # two of one kind in one place can swap their boxes
        moved = [(place[i], place[j]) for i, j in pairs]
        assert o_miou_image(truth, categories, found, pairs) == o_miou_image(*columns(shuffled), found_shuffled, moved)


@given(scenes, scenes, st.integers(1, 5), st.integers(-20, 20))
def test_scale_and_place_of_the_canvas_change_nothing(declared, detected, scale, shift):
    def moved(things):
        return [(tuple(edge * scale + shift for edge in box), category) for box, category in things]

    pairs = [(i, j) for i in range(len(declared)) for j in range(i)]
    before = o_miou_image(*columns(declared), by_category(detected), pairs)
    after = o_miou_image(*columns(moved(declared)), by_category(moved(detected)), pairs)
    assert before == pytest.approx(after)
