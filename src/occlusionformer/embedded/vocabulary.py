"""The words that the embedded model knows. Reading them loads no model."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from occlusionformer.generation.vocabulary import Vocabulary

PACKAGED = Path(__file__).with_name("vocabulary.json")
"""Written by tools/rebuild_vocabulary.py from the art that the model was trained on."""


@lru_cache(maxsize=1)
def packaged_vocabulary() -> Vocabulary:
    """Names, synonyms and adjectives of the objects that the model was trained to draw."""
    return Vocabulary.read(PACKAGED)
