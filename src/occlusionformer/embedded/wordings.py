"""Wordings as numbers of their tokens, and those that lie within a text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import accumulate, product
from typing import NamedTuple


class NamedPart(NamedTuple):
    """A wording within a text."""

    places: slice
    meaning: int
    """Its row among what phrases are known as."""


def wording(ids: Iterable[int]) -> int:
    """A number in 0..2^61 of a wording's tokens, whatever their order; articles are left out before."""
    number = 0
    for token in sorted(ids):
        number = (number * 1_000_003 + token + 1) % (2**61 - 1)
    return number


def longest_within(
    ids: Sequence[int], link_ids: Collection[int], *meant_by: Callable[[Sequence[int]], int | None]
) -> NamedPart | None:
    """The longest part of a text, shorter than all of it, that means something, by the first reader that knows one of
    this length; of these the last before `link_ids`, words after which something else is spoken of. None if none does.
    """
    clause = list(accumulate(token in link_ids for token in ids))
    for length, reader in product(range(len(ids) - 1, 0, -1), meant_by):
        for start in sorted(range(len(ids) - length + 1), key=lambda start: (clause[start], -start)):
            meaning = reader(ids[start : start + length])
            if meaning is not None:
                return NamedPart(slice(start, start + length), meaning)
    return None
