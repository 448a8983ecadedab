"""The words that the packaged models know. Reading them loads no model."""

from __future__ import annotations

from functools import cache

from occlusionformer.embedded.packaged import DEFAULT, PackagedModel
from occlusionformer.generation.vocabulary import Vocabulary


@cache
def packaged_vocabulary(model: PackagedModel = DEFAULT) -> Vocabulary:
    """Names, synonyms and adjectives of the objects that the model is trained to draw, and their colours."""
    return Vocabulary.read(model.vocabulary)
