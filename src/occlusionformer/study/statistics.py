"""How sure a comparison is: layouts and seeds are both drawn anew, layouts the same for all cells.

Arrays: S seeds, L layouts, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occlusionformer.evaluation.scores import Score

RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval; None where nothing counts."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SeededColumn:
    """One figure of one cell on one benchmark: what every layout of every seed adds to it."""

    totals: np.ndarray
    """(S, L)."""
    weights: np.ndarray
    """(S, L); 0 for layouts that do not count."""

    @classmethod
    def of(cls, scores: Sequence[Score], keys: Sequence[str]) -> SeededColumn:
        """From the scores of every seed. keys: all layouts of the benchmark, in one order for all cells."""
        places = {key: place for place, key in enumerate(keys)}
        totals, weights = np.zeros((2, len(scores), len(keys)))
        for seed, score in enumerate(scores):
            at = [places[key] for key in score.keys]
            totals[seed, at], weights[seed, at] = score.totals, score.weights
        return cls(totals, weights)

    @property
    def value(self) -> float | None:
        weight = float(self.weights.sum())
        return float(self.totals.sum()) / weight if weight else None

    def resampled(self, layouts_RL: np.ndarray, stream: int) -> np.ndarray:
        """(R,) the figure of every resample, its seeds drawn by a stream of random numbers of their own."""
        seeds, resamples = len(self.totals), len(layouts_RL)
        drawn = np.random.default_rng([stream, seeds]).integers(0, seeds, (resamples, seeds))
        seeds_RS = np.zeros((resamples, seeds))
        np.add.at(seeds_RS, (np.arange(resamples)[:, None], drawn), 1)
        total_R = ((seeds_RS @ self.totals) * layouts_RL).sum(1)
        weight_R = ((seeds_RS @ self.weights) * layouts_RL).sum(1)
        return np.divide(total_R, weight_R, out=np.full(resamples, np.nan), where=weight_R > 0)


def layout_draws(count: int, stream: int) -> np.ndarray:
    """(R, L) how often every layout of a benchmark is drawn."""
    return np.random.default_rng([stream, count]).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)


def estimate(value: float | None, drawn_R: np.ndarray) -> Estimate:
    """A value with the middle part of its resamples."""
    known = drawn_R[np.isfinite(drawn_R)]
    if value is None or not len(known):
        return Estimate(None, None, None)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def difference(first: float | None, second: float | None) -> float | None:
    """None where either is."""
    return None if first is None or second is None else first - second
