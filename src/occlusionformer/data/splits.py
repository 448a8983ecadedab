"""What training never shows: some pairs of objects side by side, and some words for them.

Both are decided by a hash of the names alone, so that every process, seed and later release agrees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations
from typing import Literal, Protocol, TypeVar

Part = Literal["training", "held-out", "any"]
"""Which pairs or wordings a scene may use."""

HELD_OUT_PAIRS = 0.03
"""Share of all pairs of different objects that never meet in a training scene."""


def is_held_out_pair(first: str, second: str) -> bool:
    """Whether objects of these names never share a training scene; symmetric, and never true of twins."""
    if first == second:
        return False
    return share_of_text(" + ".join(sorted((first, second)))) < HELD_OUT_PAIRS


class Named(Protocol):
    """An object of a scene."""

    @property
    def name(self) -> str: ...


Item = TypeVar("Item", bound=Named)


def compatible(shuffled: Sequence[Item], count: int, pairs: Part) -> list[Item]:
    """The first objects that may meet in a scene, up to `count`; held-out scenes begin with a held-out pair."""
    if pairs == "any":
        return list(shuffled[:count])
    if pairs == "held-out":
        first, second = next((a, b) for a, b in combinations(shuffled, 2) if is_held_out_pair(a.name, b.name))
        others = [item for item in shuffled if item is not first and item is not second]
        return [first, second, *others][:count]
    chosen: list[Item] = []
    for item in shuffled:
        if len(chosen) == count:
            break
        if not any(is_held_out_pair(item.name, other.name) for other in chosen):
            chosen.append(item)
    return chosen


def share_of_text(text: str) -> float:
    """A number in 0..1 that the text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
