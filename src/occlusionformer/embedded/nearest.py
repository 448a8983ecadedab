"""What a packaged model draws for a caption in which it knows no word: the object that it reads most alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from occlusionformer.generation.vocabulary import KnownObject, Vocabulary

ReadTexts = Callable[[list[str]], Tensor]
"""Gives one vector (D) for each of N texts, as the image model is given them: (N, D)."""


class NearestObjects:
    """Compares captions with the names of a vocabulary's objects, by the cosine of their vectors.

    The names are read when the first caption is asked for.
    """

    def __init__(self, vocabulary: Vocabulary, read: ReadTexts) -> None:
        self.vocabulary = vocabulary
        self._read = read
        self._names_ND: Tensor | None = None

    def of(self, caption: str) -> KnownObject | None:
        """The nearest object; None for a caption of which the encoder knows no part, whose vector is zero."""
        if self._names_ND is None:
            self._names_ND = _directions(self._read([item.name for item in self.vocabulary.objects]))
        (vector_D,) = _directions(self._read([caption]))
        if not vector_D.any():
            return None
        return self.vocabulary.objects[int((self._names_ND @ vector_D).argmax())]


def _directions(vectors_ND: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors_ND.detach().double().cpu(), dim=-1)
