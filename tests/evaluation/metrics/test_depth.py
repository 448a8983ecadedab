from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.evaluation.metrics.depth import SUBSETS, whdr


def relations(values, size):
    """A matrix with these relations above the diagonal, and their mirror below it."""
    matrix = np.zeros((size, size), int)
    for (i, j), value in zip(zip(*np.triu_indices(size, 1), strict=True), values, strict=True):
        matrix[i, j], matrix[j, i] = value, {0: 1, 1: 0, 2: 2, -1: -1}[value]
    return matrix


@st.composite
def judged(draw):
    size = draw(st.integers(1, 5))
    pairs = size * (size - 1) // 2

    def column(values):
        return draw(st.lists(st.sampled_from(values), min_size=pairs, max_size=pairs))

    flags = np.zeros((size, size), int)
    counts = np.zeros((size, size), int)
    upper = np.triu_indices(size, 1)
    flags[upper], counts[upper] = column((-1, 0, 1)), column((1, 2, 3, 4))
    predicted, truth = relations(column((0, 1, 2)), size), relations(column((-1, 0, 1, 2)), size)
    return predicted, truth, flags + flags.T, counts + counts.T


def by_hand(predicted, truth, flags, counts):
    """The definition, pair by pair."""
    sums = {name: [0.0, 0.0] for name in SUBSETS}
    size = len(truth)
    for i in range(size):
        for j in range(i + 1, size):
            if truth[i, j] == -1 or flags[i, j] == -1:
                continue
            weight = 2 / counts[i, j]
            places = ["ovlOX", "ovlO" if flags[i, j] == 1 else "ovlX"]
            kinds = ["all", "eq" if truth[i, j] == 2 else "neq"]
            for name in (f"{place}_{kind}" for place in places for kind in kinds):
                sums[name][0] += weight * (predicted[i, j] != truth[i, j])
                sums[name][1] += weight
    return {name: wrong / total if total else None for name, (wrong, total) in sums.items()}


def test_one_of_three_wrong():
    truth = relations([1, 1, 0], 3)
    assert 100 * whdr(relations([1, 0, 0], 3), truth)["ovlOX_all"] == pytest.approx(33.33, abs=0.01)


def test_nothing_known_has_no_rate():
    assert set(whdr(relations([1], 2), relations([-1], 2)).values()) == {None}


def test_without_flags_only_all_pairs_are_known():
    rates = whdr(relations([0], 2), relations([1], 2))
    assert rates["ovlOX_all"] == rates["ovlOX_neq"] == 1
    assert {name for name, rate in rates.items() if rate is not None} == {"ovlOX_all", "ovlOX_neq"}


def test_a_judge_who_cannot_say_is_wrong():
    assert whdr(relations([-1], 2), relations([2], 2))["ovlOX_eq"] == 1


def test_pairs_that_took_more_people_weigh_less():
    truth = relations([1, 1, 1], 3)
    counts = relations([0, 0, 0], 3) + 1
    counts[0, 1] = 4
    rate = whdr(relations([0, 1, 1], 3), truth, counts=counts)["ovlOX_all"]
    assert rate == pytest.approx(0.5 / (0.5 + 2 + 2))


@given(judged())
def test_agrees_with_the_definition(case):
    predicted, truth, flags, counts = case
    expected = by_hand(predicted, truth, flags, counts)
    rates = whdr(predicted, truth, overlap=flags, counts=counts)
    assert set(rates) == set(SUBSETS)
    for name in SUBSETS:
        assert (rates[name] is None) == (expected[name] is None)
        if expected[name] is not None:
            assert rates[name] == pytest.approx(expected[name], abs=1e-12)


@given(judged(), st.randoms(use_true_random=False))
def test_numbering_changes_nothing(case, random):
    predicted, truth, flags, counts = case
    order = list(range(len(truth)))
    random.shuffle(order)
    place = np.ix_(order, order)
    before = whdr(predicted, truth, overlap=flags, counts=counts)
    after = whdr(predicted[place], truth[place], overlap=flags[place], counts=counts[place])
    for name in SUBSETS:
        assert (before[name] is None) == (after[name] is None)
        assert before[name] is None or before[name] == pytest.approx(after[name], abs=1e-12)


@given(judged())
def test_a_perfect_judgement_disagrees_with_nothing(case):
    _, truth, flags, _ = case
    assert set(whdr(truth, truth, overlap=flags).values()) <= {0, None}


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match="predicted: expected only -1, 0, 1, 2, got 3"):
        whdr([[0, 3], [0, 0]], relations([1], 2))
    with pytest.raises(ValueError, match="counts: expected at least one person for a known pair, got 0"):
        whdr(relations([1], 2), relations([1], 2), counts=np.zeros((2, 2)))
