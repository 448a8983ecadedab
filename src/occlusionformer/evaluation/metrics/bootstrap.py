"""Confidence of scores by resampling pictures: intervals for one method and for the difference of two.

Every score here is a ratio: the sum of what the pictures contribute over the sum of their weights. With weights of 1
that is the mean over pictures, with the number of judgements as weight the share over all judgements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0
BLOCK = 2**21
"""Numbers drawn at a time: 16 MB."""
KEPT = 2**24
"""Numbers up to which draws are kept for the next column: 32 MB."""


@dataclass(frozen=True)
class Interval:
    """A score and the range that holds the middle part of its resampled values."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """The difference of the scores of two methods on the same pictures: the first minus the second."""

    difference: float
    low: float
    high: float
    p_value: float
    """Share of random exchanges of the two methods, picture by picture, that differ by at least as much."""
    wins: int
    """Number of pictures on which the first has the greater score."""
    ties: int
    losses: int


def ratio(totals: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The score: sum of totals over sum of weights, independent of the order of the pictures to the last digit."""
    values, shares = _columns(totals, weights)
    return math.fsum(values) / math.fsum(shares)


def interval(
    totals: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Interval:
    """The score with its percentile interval over pictures drawn with replacement.

    The same pictures in another order give the same interval. Resamples without any weight are left out. Raises
    ValueError without pictures.
    """
    columns = _sorted(_columns(totals, weights))
    drawn = np.concatenate([_ratios(counts, columns[0], columns[1]) for counts in _draws(columns, resamples, seed)])
    low, high = _percentiles(drawn, confidence)
    return Interval(ratio(columns[0], columns[1]), low, high)


def paired(
    first: ArrayLike,
    second: ArrayLike,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> PairedDifference:
    """The difference of two methods, both resampled with the same pictures; columns have one entry for each picture.

    The p-value is that of a permutation test, the observed exchange counted in: it is never 0.
    """
    a, weight_a = _columns(first, first_weights)
    b, weight_b = _columns(second, second_weights)
    if len(a) != len(b):
        raise ValueError(f"second: expected {len(a)} pictures as in first, got {len(b)}")
    columns = _sorted((a, weight_a, b, weight_b))
    a, weight_a, b, weight_b = columns
    difference = ratio(a, weight_a) - ratio(b, weight_b)
    drawn, exchanged = [], []
    for counts in _draws(columns, resamples, seed):
        drawn.append(_ratios(counts, a, weight_a) - _ratios(counts, b, weight_b))
    generator = np.random.default_rng((seed, 1))
    for size in _blocks(resamples, len(a)):
        keeps = generator.integers(0, 2, (size, len(a)), dtype=np.int8).astype(float)
        exchanged.append(_exchanged(keeps, columns) - _exchanged(1 - keeps, columns))
    low, high = _percentiles(np.concatenate(drawn), confidence)
    chance = np.concatenate(exchanged)
    extreme = int(np.count_nonzero(np.abs(chance) >= abs(difference) * (1 - 1e-9)))
    sides = np.sign(np.round(_ratio(a, weight_a) - _ratio(b, weight_b), 12))
    wins, losses = int((sides > 0).sum()), int((sides < 0).sum())
    p_value = (extreme + 1) / (resamples + 1)
    return PairedDifference(difference, low, high, p_value, wins, len(a) - wins - losses, losses)


def _exchanged(keeps: np.ndarray, columns: tuple[np.ndarray, ...]) -> np.ndarray:
    """Scores of methods that are the first where `keeps` is 1 and the second elsewhere."""
    a, weight_a, b, weight_b = columns
    return _ratio(keeps @ (a - b) + b.sum(), keeps @ (weight_a - weight_b) + weight_b.sum())


def _draws(columns: tuple[np.ndarray, ...], resamples: int, seed: int) -> Iterator[np.ndarray]:
    """(block, pictures) how often each picture is drawn."""
    size = len(columns[0])
    drawn = _kept_draws if size * resamples <= KEPT else _fresh_draws
    for counts in drawn(size, resamples, seed):
        yield counts.astype(float)


def _fresh_draws(size: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng((seed, 0))
    for block in _blocks(resamples, size):
        places = generator.integers(0, size, (block, size)) + np.arange(block)[:, None] * size
        yield np.bincount(places.ravel(), minlength=block * size).reshape(block, size).astype(np.uint16)


@lru_cache(maxsize=4)
def _kept_draws(size: int, resamples: int, seed: int) -> tuple[np.ndarray, ...]:
    """All columns of a table have the same pictures, most of the time."""
    return tuple(_fresh_draws(size, resamples, seed))


def _blocks(resamples: int, size: int) -> Iterator[int]:
    step = max(1, BLOCK // size)
    for start in range(0, resamples, step):
        yield min(step, resamples - start)


def _ratios(counts: np.ndarray, totals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _ratio(counts @ totals, counts @ weights)


def _ratio(totals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.divide(totals, weights, out=np.full(len(totals), np.nan), where=weights > 0)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _columns(totals: ArrayLike, weights: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(totals, float)
    shares = np.ones_like(values) if weights is None else np.asarray(weights, float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"totals: expected a number for every picture, got the shape {values.shape}")
    if shares.shape != values.shape:
        raise ValueError(f"weights: expected {len(values)} numbers, got the shape {shares.shape}")
    if not np.isfinite([values, shares]).all() or (shares < 0).any() or not shares.any():
        raise ValueError("expected finite totals and weights of at least 0 that are not all 0")
    return values, shares


def _sorted(columns: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The pictures in a canonical order, so that the result does not depend on how they were listed."""
    places = np.lexsort(columns)
    return tuple(column[places] for column in columns)
