"""Depth order: weighted human disagreement rate, WHDR, of judged and known order (arXiv 2111.14562).

Matrices are N x N: 1 in row i, column j says that i is nearer than j, 0 that it is farther, 2 that they are as near.
Only i < j is looked at.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from occlusionformer.evaluation.metrics.matrices import UNKNOWN, square

FARTHER, NEARER, EQUAL = 0, 1, 2

OVERLAPS = {"ovlX": (0,), "ovlO": (1,), "ovlOX": (0, 1)}
"""Pairs that do not overlap, that do, and both."""
RELATIONS = {"eq": (EQUAL,), "neq": (FARTHER, NEARER), "all": (FARTHER, NEARER, EQUAL)}
SUBSETS = tuple(f"{overlap}_{relation}" for overlap, relation in product(OVERLAPS, RELATIONS))


def whdr(
    predicted: ArrayLike, truth: ArrayLike, *, overlap: ArrayLike | None = None, counts: ArrayLike | None = None
) -> dict[str, float | None]:
    """Share of pairs in disagreement, 0 to 1, for every subset; None for a subset without pairs.

    `overlap` says of each pair whether it overlaps, with -1 for pairs that do not count; without it only the subsets
    of all pairs, ovlOX, are known. `counts` are how many people it took to agree: a pair weighs 2 / count. A
    judgement of -1 disagrees with everything; a truth of -1 does not count.

    Raises ValueError for matrices that are not of one square shape, or that hold other numbers.
    """
    known = square("truth", truth, (UNKNOWN, FARTHER, NEARER, EQUAL))
    judged = square("predicted", predicted, (UNKNOWN, FARTHER, NEARER, EQUAL), like=known)
    flags = np.zeros_like(known) if overlap is None else square("overlap", overlap, (UNKNOWN, 0, 1), like=known)
    pairs = _upper(len(known))
    judged, known, flags = judged[pairs], known[pairs], flags[pairs]
    counted = (known != UNKNOWN) & (flags != UNKNOWN)
    weights = counted.astype(float) if counts is None else _weights(counts, pairs, counted)
    kinds = np.where(counted, len(RELATIONS) * flags + known, 0)
    totals = np.bincount(kinds, weights, minlength=len(RELATIONS) * 2)
    wrong = np.bincount(kinds, weights * (judged != known), minlength=len(RELATIONS) * 2)
    rates: dict[str, float | None] = {}
    for (place, chosen), (relation, values) in product(OVERLAPS.items(), RELATIONS.items()):
        cells = [len(RELATIONS) * flag + value for flag in chosen for value in values]
        total = sum(totals[cell] for cell in cells)
        is_known = total > 0 and (overlap is not None or place == "ovlOX")
        rates[f"{place}_{relation}"] = float(sum(wrong[cell] for cell in cells) / total) if is_known else None
    return rates


@lru_cache(maxsize=64)
def _upper(size: int) -> tuple[np.ndarray, ...]:
    return np.triu_indices(size, 1)


def _weights(counts: ArrayLike, pairs: tuple[np.ndarray, ...], counted: np.ndarray) -> np.ndarray:
    """2 / count where a pair counts, 0 elsewhere."""
    people = np.asarray(counts, float)[pairs]
    if (people[counted] <= 0).any():
        raise ValueError(f"counts: expected at least one person for a known pair, got {people[counted].min():g}")
    return np.divide(2.0, people, out=np.zeros_like(people), where=counted)
