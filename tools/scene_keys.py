"""The keys by which the second text table reads what training never said, and how well they do on words left out.

Arrays: W words, K wordings, N objects, Q synonyms left out, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scene_words import CONTEXT_IN_KEY, Lexicon, fitted, moved, unit, words_of

from occlusionformer.generation.vocabulary import LINKS

TOGETHER = 500
"""Words whose features are found at once."""
SAYING = ("name", "synonym", "scenery")
"""Wordings that have a key; others count in what is said of their object."""


class Reader:
    """Words moved towards the objects they seem to mean, and the keys of the wordings."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        everything_K = np.ones(len(lexicon.wordings))
        said = sorted({word for each in lexicon.wordings for word in words_of(each.text) if word in lexicon.place})
        usual = lexicon.features(said, everything_K)
        self._mean_F, self._spread_F = usual.mean((0, 1)), usual.std((0, 1))
        self._kept_QK = [self.kept(place) for place in self.synonyms]
        left_out = [
            (place, kept_K)
            for place, kept_K in zip(self.synonyms, self._kept_QK, strict=True)
            if len(self.known_words(lexicon.wordings[place].text)) == 1
        ]
        rows = [self._scaled(self.known_words(lexicon.wordings[place].text), kept_K)[0] for place, kept_K in left_out]
        self.weights_F = fitted(np.stack(rows), lexicon.of_K[[place for place, _ in left_out]])
        parts = [
            self.moved(lexicon.words[start : start + TOGETHER], everything_K)
            for start in range(0, len(lexicon.words), TOGETHER)
        ]
        self.vectors = dict(lexicon.vectors) | dict(zip(lexicon.words, np.concatenate(parts), strict=True))
        self.unit_KD = unit(np.stack([lexicon.summed(each.text, self.vectors) for each in lexicon.wordings]))
        self.saying = np.array([place for place, each in enumerate(lexicon.wordings) if each.kind in SAYING])

    @property
    def synonyms(self) -> list[int]:
        return [place for place, each in enumerate(self.lexicon.wordings) if each.kind == "synonym"]

    def kept(self, place: int) -> np.ndarray:
        """1 for all wordings but those of one's form, (K,)."""
        form = self.lexicon.wordings[place].form
        return np.array([float(each.form != form) for each in self.lexicon.wordings])

    def known_words(self, text: str) -> list[str]:
        return [word for word in words_of(text) if word in self.lexicon.place and word not in LINKS]

    def moved(self, words: Sequence[str], kept_K: np.ndarray) -> np.ndarray:
        """Vectors of words (W, D), as long as these weigh, by the wordings that are kept."""
        places = [self.lexicon.place[word] for word in words]
        own_WD, context_ND = self.lexicon.own_WD[places], self.lexicon.context(kept_K)
        scores_WN = self._scaled(words, kept_K) @ self.weights_F
        return moved(own_WD, scores_WN, context_ND) * self.lexicon.length_W[places, None]

    def keys(self, kept_K: np.ndarray) -> np.ndarray:
        """What texts are compared with, a row for each of `saying`: the wording, and all that is said of its object."""
        context_ND = self.lexicon.context(kept_K, self.unit_KD)
        rows_KD, of_K = self.unit_KD[self.saying], self.lexicon.of_K[self.saying]
        found: np.ndarray = rows_KD + CONTEXT_IN_KEY * np.where((of_K < 0)[:, None], rows_KD, context_ND[of_K])
        return found

    def left_out(self) -> tuple[int, int]:
        """How many training synonyms are read as their object by what is known without them, and how many there are."""
        found = 0
        for place, kept_K in zip(self.synonyms, self._kept_QK, strict=True):
            words = self.known_words(self.lexicon.wordings[place].text)
            if words:
                scores_K = self.keys(kept_K) @ self.moved(words, kept_K).sum(0)
                scores_K[kept_K[self.saying] == 0] = -np.inf
                found += int(self.lexicon.of_K[self.saying[scores_K.argmax()]] == self.lexicon.of_K[place])
        return found, len(self.synonyms)

    def _scaled(self, words: Sequence[str], kept_K: np.ndarray) -> np.ndarray:
        found: np.ndarray = (self.lexicon.features(words, kept_K) - self._mean_F) / self._spread_F
        return found


def reduced(vectors_WD: np.ndarray, keys_KD: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Words and keys in the channels that tell most of both."""
    heavy = np.concatenate([vectors_WD, keys_KD * np.linalg.norm(vectors_WD, axis=1).mean()])
    axes = np.linalg.svd(heavy, full_matrices=False)[2][:size].T
    return vectors_WD @ axes, keys_KD @ axes


def quantised(rows_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eight bits a number, and a scale for each row; a blank row has none."""
    scale_N1 = np.abs(rows_ND).max(axis=1, keepdims=True) / 127
    return np.rint(rows_ND / np.where(scale_N1 > 0, scale_N1, 1)).astype(np.int8), scale_N1.astype(np.float32)


def key_tensors(
    reader: Reader, vocabulary: Sequence[str], known_as: Callable[[str], int], size: int
) -> dict[str, np.ndarray]:
    """What the text table stores of words and keys; known_as: the number of the known phrase that a wording is."""
    lexicon = reader.lexicon
    blank = np.zeros(reader.unit_KD.shape[1], dtype=np.float32)
    says = [word not in LINKS and any(map(str.isalpha, word)) and not word.startswith("[") for word in vocabulary]
    rows_VD = np.stack(
        [reader.vectors.get(word, blank) if some else blank for word, some in zip(vocabulary, says, strict=True)]
    )
    rows_VD, keys_KD = reduced(rows_VD, reader.keys(np.ones(len(lexicon.wordings))), size)
    words, word_scale = quantised(rows_VD)
    keys, key_scale = quantised(keys_KD)
    leads_to = [known_as(lexicon.wordings[place].text) for place in reader.saying]
    return {
        "word_keys": words,
        "word_scale": word_scale,
        "phrase_keys": keys,
        "phrase_scale": key_scale,
        "leads_to": np.array(leads_to, dtype=np.int64),
    }
