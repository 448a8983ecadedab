from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from occlusionformer.evaluation.metrics.bootstrap import interval, paired, ratio
from tests.properties import examples

numbers = st.floats(0, 1, width=32)
pictures = st.lists(st.tuples(numbers, st.integers(1, 5)), min_size=1, max_size=30)


def test_share_over_all_judgements_is_not_the_mean_of_shares():
    """One of one yes, none of three: a quarter, not a half."""
    assert ratio([1, 0], [1, 3]) == 0.25
    assert ratio([1.0, 0.0]) == 0.5


def test_agrees_with_scipy():
    values = np.random.default_rng(5).random(200) ** 2
    mine = interval(values, resamples=4000)
    theirs = stats.bootstrap([values], np.mean, n_resamples=4000, method="percentile", rng=6).confidence_interval
    assert mine.value == pytest.approx(values.mean())
    assert mine.low == pytest.approx(theirs.low, abs=4e-3)  # three standard errors of such a percentile
    assert mine.high == pytest.approx(theirs.high, abs=4e-3)


def test_p_value_agrees_with_scipy():
    generator = np.random.default_rng(7)
    first = generator.random(40)
    second = first + generator.normal(0.03, 0.1, 40)
    found = paired(first, second, resamples=5000)
    theirs = stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=5000,
        rng=8,
        vectorized=True,
    )
    assert found.difference == pytest.approx(theirs.statistic)
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.03)
    assert found.low < found.difference < found.high


def test_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(9)
    covered = 0
    for trial in range(200):
        found = interval(generator.random(60), resamples=300, seed=trial)
        covered += found.low <= 0.5 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


@examples(50)
@given(pictures, st.randoms(use_true_random=False))
def test_how_pictures_are_listed_changes_nothing(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert interval(*zip(*rows, strict=True), resamples=50) == interval(*zip(*shuffled, strict=True), resamples=50)
    assert ratio(*zip(*rows, strict=True)) == ratio(*zip(*shuffled, strict=True))


def test_both_methods_are_drawn_with_the_same_pictures():
    """Two methods that always differ by as much differ by that for sure, however much pictures differ."""
    values = np.random.default_rng(10).random(50)
    found = paired(values + 0.125, values)
    assert found.difference == pytest.approx(0.125)
    assert (found.low, found.high) == (pytest.approx(0.125), pytest.approx(0.125))
    assert found.p_value == pytest.approx(1 / 1001)
    assert (found.wins, found.ties, found.losses) == (50, 0, 0)


def test_a_method_does_not_differ_from_itself():
    values = np.random.default_rng(11).random(50)
    found = paired(values, values)
    assert (found.difference, found.low, found.high, found.p_value, found.ties) == (0, 0, 0, 1, 50)


def test_pooled_shares_are_compared_by_their_sums():
    found = paired([1, 0, 2], [0, 0, 2], [1, 3, 2], [1, 3, 2])
    assert found.difference == pytest.approx(1 / 6)
    assert (found.wins, found.ties, found.losses) == (1, 2, 0)


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match=re.escape("totals: expected a number for every picture, got the shape (0,)")):
        interval([])
    with pytest.raises(ValueError, match="second: expected 2 pictures as in first, got 1"):
        paired([1, 2], [1])
    with pytest.raises(ValueError, match="expected finite totals and weights of at least 0 that are not all 0"):
        interval([1.0, np.nan])
    with pytest.raises(ValueError, match="expected finite totals and weights of at least 0 that are not all 0"):
        ratio([1.0], [0.0])
