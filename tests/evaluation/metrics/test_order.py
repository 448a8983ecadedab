from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlusionformer.evaluation.metrics.order import Scores, has_occlusion, occlusion_scores
from tests.tables import for_each

NONE, EDGE, REVERSED, MUTUAL = [[0, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 1], [1, 0]]


@st.composite
def matrices(draw, values=(0, 1)):
    """A prediction and a truth about the same instances."""
    size = draw(st.integers(0, 6))
    shape = (size, size)
    judged = draw(arrays(int, shape, elements=st.sampled_from((0, 1))))
    declared = draw(arrays(int, shape, elements=st.sampled_from(values)))
    np.fill_diagonal(judged, 0)
    np.fill_diagonal(declared, 0)
    return judged, declared


@for_each(
    ("judged", "declared", "expected"),
    [
        (NONE, NONE, Scores(recall=1, precision=1, f1=1)),
        (NONE, EDGE, Scores(recall=0, precision=1, f1=0)),
        (EDGE, NONE, Scores(recall=1, precision=0, f1=0)),
        (REVERSED, EDGE, Scores(recall=0, precision=0, f1=0)),
        (EDGE, EDGE, Scores(recall=1, precision=1, f1=1)),
        (MUTUAL, EDGE, Scores(recall=1, precision=0.5, f1=2 / 3)),
        ([], [], Scores(recall=1, precision=1, f1=1)),
    ],
)
def test_worked_by_hand(judged, declared, expected):
    assert occlusion_scores(judged, declared) == pytest.approx(expected)


@given(matrices(values=(0, 1, -1)))
def test_agrees_with_scikit_learn(pair):
    from sklearn.metrics import f1_score, precision_score, recall_score

    judged, declared = pair
    known = declared != -1
    if not known.any():
        return
    options = {"average": "binary", "zero_division": 1}
    scores = occlusion_scores(judged, declared)
    assert scores.recall == pytest.approx(recall_score(declared[known], judged[known], **options), abs=1e-12)
    assert scores.precision == pytest.approx(precision_score(declared[known], judged[known], **options), abs=1e-12)
    assert scores.f1 == pytest.approx(f1_score(declared[known], judged[known], **options), abs=1e-12)


@given(matrices(values=(0, 1, -1)), st.randoms(use_true_random=False))
def test_numbering_changes_nothing(pair, random):
    judged, declared = pair
    order = list(range(len(judged)))
    random.shuffle(order)
    place = np.ix_(order, order)
    assert occlusion_scores(judged, declared) == occlusion_scores(judged[place], declared[place])


@given(matrices())
def test_a_perfect_judgement_scores_one(pair):
    _, declared = pair
    assert occlusion_scores(declared, declared) == (1, 1, 1)


def test_neighbours_alone_are_judged_but_all_are_declared():
    judged = [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    adjacent = [[False, True, False], [True, False, False], [False, False, False]]
    scores = occlusion_scores(judged, judged, pairs="nbor", adjacent=adjacent)
    assert scores == pytest.approx(Scores(recall=0.5, precision=1, f1=2 / 3))


def test_unknown_pairs_do_not_count():
    assert occlusion_scores(MUTUAL, [[0, 1], [-1, 0]]) == (1, 1, 1)


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match=re.escape("truth: expected a square matrix, got the shape (1, 2)")):
        occlusion_scores([[0, 1]], [[0, 1]])
    with pytest.raises(ValueError, match=re.escape("predicted: expected the shape (2, 2) of the truth, got (1, 1)")):
        occlusion_scores([[0]], NONE)
    with pytest.raises(ValueError, match="predicted: expected only 0, 1, got 2"):
        occlusion_scores([[0, 2], [0, 0]], NONE)
    with pytest.raises(ValueError, match="adjacent: expected with pairs='nbor' and only there, got pairs='nbor'"):
        occlusion_scores(NONE, NONE, pairs="nbor")


def test_has_occlusion():
    assert has_occlusion(EDGE)
    assert not has_occlusion([[0, -1], [-1, 0]])
