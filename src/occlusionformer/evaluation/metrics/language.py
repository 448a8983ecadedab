"""Agreement of pictures with texts: answers to yes-or-no questions, and CLIP similarity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

ATTRIBUTES = ("color", "texture", "shape")


class Count(NamedTuple):
    """One picture's part of a score that is pooled over the set: totals and numbers are added up over pictures."""

    total: float
    number: int


def is_yes(answer: object) -> bool:
    """Whether an answer is the word yes, in any case; nothing else is."""
    return isinstance(answer, str) and answer.lower() == "yes"


def successes(answers: Mapping[str, object], keys: Sequence[str]) -> Count:
    """SR_E and SR_R of one picture (arXiv 2509.19282): how many keys are answered yes; what is not answered is no.

    The rate of a set is the sum of the yes over the sum of the keys, not a mean over pictures.
    """
    return Count(sum(is_yes(answers.get(key)) for key in keys), len(keys))


def attribute_counts(answers: Mapping[str, Mapping[str, object]], names: Sequence[str]) -> dict[str, Count]:
    """LayoutSAM-Eval of one picture (arXiv 2412.03859): yes by spatial, color, texture and shape, over its instances.

    An instance that is not present has no to all attributes.
    """
    yes = dict.fromkeys(("spatial", *ATTRIBUTES), 0)
    for name in names:
        answer = answers.get(name, {})
        if is_yes(answer.get("spatial")):
            yes["spatial"] += 1
            for attribute in ATTRIBUTES:
                yes[attribute] += is_yes(answer.get(attribute))
    return {attribute: Count(count, len(names)) for attribute, count in yes.items()}


def cosine(first: ArrayLike, second: ArrayLike) -> float:
    """Cosine of two embeddings, -1 to 1. Raises ValueError for one that is zero or not finite."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if a.ndim != 1 or a.shape != b.shape or not all(0 < length < math.inf for length in lengths):
        raise ValueError(f"expected two finite embeddings of one length, not zero, got {a.shape} and {b.shape}")
    return float(np.clip(a / lengths[0] @ (b / lengths[1]), -1, 1))


def clip_similarity(similarities: Sequence[float | None]) -> Count:
    """CLIP-L of one picture: the sum over instances that have a crop and a caption, None for those that do not.

    CLIP-L of a set is the sum of all over their number; CLIP-G is the mean over pictures of one similarity each.
    """
    known = [similarity for similarity in similarities if similarity is not None]
    return Count(math.fsum(known), len(known))
