"""What training never shows: some pairs of objects side by side, and some words for them.

Both are decided by a hash of the names alone, so that every process, seed and later release agrees.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from occlusionformer.data.artwork import ArtObject

Part = Literal["training", "held-out", "any"]
"""Which pairs or wordings a scene may use."""

HELD_OUT_PAIRS = 0.03
"""Share of all pairs of different objects that never meet in a training scene."""


def is_held_out_pair(first: str, second: str) -> bool:
    """Whether objects of these names never share a training scene; symmetric, and never true of twins."""
    if first == second:
        return False
    return share_of_text(" + ".join(sorted((first, second)))) < HELD_OUT_PAIRS


def held_out_synonym(item: ArtObject) -> str | None:
    """The one synonym no training caption uses; objects with a single synonym keep it for training."""
    if len(item.synonyms) < 2:
        return None
    return min(item.synonyms, key=lambda synonym: share_of_text(f"{item.name} = {synonym}"))


def training_synonyms(item: ArtObject) -> tuple[str, ...]:
    """The synonyms training captions may use."""
    held_out = held_out_synonym(item)
    return tuple(synonym for synonym in item.synonyms if synonym != held_out)


def share_of_text(text: str) -> float:
    """A number in 0..1 that the text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
