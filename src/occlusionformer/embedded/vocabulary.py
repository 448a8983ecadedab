"""The words that the packaged model knows. Reading them loads no model."""

from __future__ import annotations

from functools import cache

from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.generation.vocabulary import Vocabulary


@cache
def packaged_vocabulary() -> Vocabulary:
    """Names, synonyms and adjectives of the objects that the model is trained to draw, and their colours."""
    return Vocabulary.read(EMBEDDED.vocabulary)
