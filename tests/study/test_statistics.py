"""Intervals over layouts and seeds: as plain loops compute them, and as wide as they should be."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.study.statistics import SeededColumn, difference, estimate, layout_draws


def column(totals, weights=None):
    totals = np.asarray(totals, float)
    return SeededColumn(totals, np.ones_like(totals) if weights is None else np.asarray(weights, float))


def test_the_value_is_the_ratio_of_sums():
    assert column([[1, 0], [1, 2]], [[1, 0], [1, 4]]).value == pytest.approx(4 / 6)
    assert column([[0, 0]], [[0, 0]]).value is None


def test_resamples_are_those_of_a_plain_loop():
    generator = np.random.default_rng(0)
    given = column(generator.random((3, 5)), generator.integers(0, 2, (3, 5)))
    draws_RL = layout_draws(5, 1)[:20]
    found_R = given.resampled(draws_RL, 7)
    seeds_RS = np.random.default_rng([7, 3]).integers(0, 3, (20, 3))
    for counts, seeds, found in zip(draws_RL, seeds_RS, found_R, strict=True):
        total = weight = 0.0
        for seed in seeds:
            for layout, count in enumerate(counts):
                total += count * given.totals[seed, layout]
                weight += count * given.weights[seed, layout]
        assert found == pytest.approx(total / weight if weight else np.nan, nan_ok=True)


def test_a_pair_on_the_same_layouts_is_surer_than_each_alone():
    generator = np.random.default_rng(1)
    easy = generator.random((1, 200))
    first, second = column(easy + 0.05), column(easy)
    draws_RL = layout_draws(200, 1)
    alone = estimate(first.value, first.resampled(draws_RL, 1))
    paired = estimate(
        difference(first.value, second.value), first.resampled(draws_RL, 1) - second.resampled(draws_RL, 2)
    )
    assert (paired.low, paired.high) == (pytest.approx(0.05), pytest.approx(0.05))
    assert alone.high - alone.low > 0.05


def test_seeds_that_differ_widen_the_interval():
    same, apart = column(np.full((3, 50), 0.5)), column(np.repeat([[0.2], [0.5], [0.8]], 50, axis=1))
    draws_RL = layout_draws(50, 1)
    widths = [
        found.high - found.low for found in (estimate(one.value, one.resampled(draws_RL, 1)) for one in (same, apart))
    ]
    assert widths[0] == pytest.approx(0)
    assert widths[1] > 0.2


def test_nothing_has_no_figure():
    assert estimate(None, np.array([1.0])).value is None
    assert difference(None, 1.0) is None
