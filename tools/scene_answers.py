"""What common words and WordNet's wordings mean, told ahead and kept as answers in the text table.

A sum of words holds little of what can be known of a wording. Here each is compared with what the objects are called:
read whole by the sentence encoder, by its words, by WordNet's tree and definitions, by the Moby thesaurus. How much
each counts is fitted to the synonyms of training captions, each left out in turn. All wordings are treated alike; none
is chosen by whether training holds it out.

Arrays: T texts, K wordings of objects, N objects, F features, E channels of the encoder, S senses.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Container, Mapping, Sequence
from functools import cached_property

import numpy as np
from scene_words import ARTICLES, RARER, RARER_TOLD, Lexicon, ReadTexts, Senses, fitted, normal_form, unit, words_of

from occlusionformer.embedded.wordings import wording
from occlusionformer.generation.vocabulary import LINKS

FREQUENT_WORDS, SINGLE, SEVERAL = 40_000, 60_000, 40_000
"""Words of GloVe, the most frequent: that are told whatever they name, that may name something, also among others."""
RANKS = frozenset(
    ("genus", "family", "order", "class", "phylum", "suborder", "subfamily", "superfamily", "division", "subclass")
)
TOGETHER = 512
"""Texts that are compared at once."""
FOLDS = 10
OUT = -3.0
"""Added to how near a wording is that is left out."""


class Comparison:
    """Texts beside the wordings of the objects."""

    def __init__(
        self,
        lexicon: Lexicon,
        whole_KE: np.ndarray,
        gloss_of: Mapping[str, np.ndarray],
        thesaurus: Mapping[str, frozenset[str]],
    ) -> None:
        """whole_KE: the encoder's vectors of the lexicon's wordings; gloss_of: of visible senses, the mean taken off;
        thesaurus: see `read_thesaurus`."""
        self.lexicon, self._gloss_of = lexicon, gloss_of
        self._mean_E = whole_KE.mean(0)
        self._whole_KE = unit(whole_KE - self._mean_E)
        self.of_K = lexicon.of_K
        kinds = np.array([each.kind for each in lexicon.wordings])
        alone_K = np.array([each.shared == 1 for each in lexicon.wordings])
        told_K = self.of_K >= 0
        self._called, self._tagged = told_K & (kinds != "tag"), told_K & (kinds == "tag") & alone_K
        self._both = self._called | self._tagged
        blank = np.zeros(whole_KE.shape[1], dtype=np.float32)
        self._gloss_KE = np.stack([gloss_of.get(number or "", blank) for number in lexicon.sense_of_K])
        self._rows: dict[str, np.ndarray] = {}
        self._thesaurus = thesaurus
        self._places: dict[str, list[int]] = {}
        for place, each in enumerate(lexicon.wordings):
            if each.kind not in ("adjective", "scenery"):
                self._places.setdefault(each.form, []).append(place)
        self._listed_in: dict[str, list[str]] = {}
        for form in self._places:
            for other in thesaurus.get(form, ()):
                self._listed_in.setdefault(other, []).append(form)

    def kept(self, form: str) -> np.ndarray:
        """1 for all wordings but those of a normal form, (K,)."""
        return np.array([float(each.form != form) for each in self.lexicon.wordings], dtype=np.float32)

    def features(self, texts: Sequence[str], whole_TE: np.ndarray, kept_K: np.ndarray) -> np.ndarray:
        """What tells which object a text means, (T, N, F); whole_TE: the encoder's vectors of the texts."""
        out_K = np.where(kept_K > 0, 0, OUT).astype(np.float32)
        whole_TE = unit(whole_TE - self._mean_E)
        own_TD = unit(np.stack([self.lexicon.summed(text) for text in texts]))
        found = []
        for rows, keys, context in (
            (whole_TE, self._whole_KE, self._context(self._whole_KE, kept_K)),
            (own_TD, self.lexicon.unit_KD, self.lexicon.context(kept_K)),
        ):
            near_TK = rows @ keys.T + out_K
            found += [self._most(near_TK, self._called), self._most(near_TK, self._tagged), rows @ context.T]
        listed = self._most(self._listed(texts) + out_K, self._both, 0.0)
        return np.stack([*found, *self._by_senses(texts, kept_K, out_K), listed], axis=2)

    def _listed(self, texts: Sequence[str]) -> np.ndarray:
        """How much the thesaurus lists wordings under texts or the other way, long lists counting less, (T, K)."""
        found_TK = np.zeros((len(texts), len(self.of_K)), dtype=np.float32)
        for place, text in enumerate(texts):
            form = normal_form(text)
            mine = self._thesaurus.get(form, frozenset())
            for other in mine & self._places.keys():
                found_TK[place, self._places[other]] += 1 / np.log(2 + len(mine))
            for other in self._listed_in.get(form, ()):
                found_TK[place, self._places[other]] += 1 / np.log(2 + len(self._thesaurus[other]))
        return found_TK

    def forget(self) -> None:
        """Let go of what has been found of senses so far."""
        self._rows.clear()

    def _context(self, rows_KE: np.ndarray, kept_K: np.ndarray) -> np.ndarray:
        """Directions of all that is said of each object, (N, E)."""
        weighted_KE = rows_KE * (self.lexicon.counts_K * kept_K)[:, None].astype(np.float32)
        found_NE = np.zeros((len(self.lexicon.objects), rows_KE.shape[1]), dtype=np.float32)
        told_K = self.of_K >= 0
        np.add.at(found_NE, self.of_K[told_K], weighted_KE[told_K])
        return unit(found_NE)

    def _most(self, near_TK: np.ndarray, among_K: np.ndarray, least: float = -1.0) -> np.ndarray:
        """How near each object's nearest wording among some is, (T, N)."""
        places = np.flatnonzero(among_K)
        places = places[np.argsort(self.of_K[places], kind="stable")]
        present, starts = np.unique(self.of_K[places], return_index=True)
        found = np.full((len(near_TK), len(self.lexicon.objects)), least, dtype=np.float32)
        found[:, present] = np.maximum(np.maximum.reduceat(near_TK[:, places], starts, axis=1), least)
        return found

    def _of_sense(self, number: str) -> np.ndarray:
        """How near a sense is to the wordings: by the tree, by what both are told as, by the texts; (3, K)."""
        if number not in self._rows:
            gloss_E = self._gloss_of[number]
            tree_K = np.append(self.lexicon.senses.related(number), 0)[self.lexicon.key_K]
            self._rows[number] = np.stack([tree_K, self._gloss_KE @ gloss_E, self._whole_KE @ gloss_E])
        return self._rows[number]

    def _by_senses(self, texts: Sequence[str], kept_K: np.ndarray, out_K: np.ndarray) -> list[np.ndarray]:
        """Features of a text's senses, rarer ones counting less, 4 x (T, N)."""
        near_3TK = np.full((3, len(texts), len(self.of_K)), -1, dtype=np.float32)
        near_3TK[0] = 0
        about_TN = np.full((len(texts), len(self.lexicon.objects)), -1, dtype=np.float32)
        context_NE = self._context(self._whole_KE, kept_K)
        for place, text in enumerate(texts):
            for number, rank in self.lexicon.senses.of(text):
                lost = np.array([1 + RARER * rank, 1 + RARER_TOLD * rank, 1 + RARER_TOLD * rank], dtype=np.float32)
                near_3TK[:, place] = np.maximum(near_3TK[:, place], self._of_sense(number) / lost[:, None])
                about_N = context_NE @ self._gloss_of[number] / lost[1]
                about_TN[place] = np.maximum(about_TN[place], about_N)
        tree, told, said = (self._most(near_TK + out_K, self._both) for near_TK in near_3TK)
        return [np.maximum(tree, 0) ** 2, told, said, about_TN]


class AnswerReader:
    """Tells which object a text means."""

    def __init__(self, comparison: Comparison, whole_KE: np.ndarray) -> None:
        """Fits the weights to the training synonyms, each left out of what is known of its object."""
        self.comparison = comparison
        wordings = comparison.lexicon.wordings
        self.synonyms = [place for place, each in enumerate(wordings) if each.kind == "synonym"]
        rows = [
            comparison.features([wordings[place].text], whole_KE[[place]], comparison.kept(wordings[place].form))[0]
            for place in self.synonyms
        ]
        features_QNF = np.stack(rows)
        self._mean_F, self._spread_F = features_QNF.mean((0, 1)), features_QNF.std((0, 1))
        self.features_QNF = self._scaled(features_QNF)
        self.object_Q = comparison.of_K[self.synonyms]
        self.weights_F = fitted(self.features_QNF, self.object_Q)

    def left_out(self, seed: int = 0) -> np.ndarray:
        """Which training synonyms are read as their object, (Q,), by what is known without them and by weights that
        are fitted to the synonyms of other objects."""
        fold_N = np.random.default_rng(seed).integers(0, FOLDS, len(self.comparison.lexicon.objects))
        fold_Q = fold_N[self.object_Q]
        found_Q = np.zeros(len(self.object_Q), dtype=bool)
        for fold in range(FOLDS):
            held = fold_Q == fold
            weights_F = fitted(self.features_QNF[~held], self.object_Q[~held])
            found_Q[held] = (self.features_QNF[held] @ weights_F).argmax(1) == self.object_Q[held]
        return found_Q

    def answers(self, texts: Sequence[str], whole_TE: np.ndarray) -> np.ndarray:
        """The objects that texts mean, (T,)."""
        found = []
        for start in range(0, len(texts), TOGETHER):
            part = slice(start, start + TOGETHER)
            rows = self.comparison.features(texts[part], whole_TE[part], self._everything_K)
            found.append((self._scaled(rows) @ self.weights_F).argmax(1))
            self.comparison.forget()
        return np.concatenate(found)

    @cached_property
    def _everything_K(self) -> np.ndarray:
        return np.ones(len(self.comparison.of_K), dtype=np.float32)

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        found: np.ndarray = (features - self._mean_F) / self._spread_F
        return found


def read_thesaurus(text: str) -> dict[str, frozenset[str]]:
    """What Moby's thesaurus lists under each entry, all in normal forms; an entry a line, its first word the entry."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        entry, *listed = (normal_form(part) for part in line.split(","))
        found.setdefault(entry, set()).update(listed)
    return {entry: frozenset(listed) for entry, listed in found.items()}


def told_texts(senses: Senses, instances: Container[str], common: Sequence[str]) -> list[str]:
    """Frequent words, and WordNet's wordings for visible things of words that are common enough; without Latin ranks
    and without instances, names of single persons and places. common: words, the most frequent first."""
    rank = {word: place for place, word in enumerate(common)}
    found = {word for word in common[:FREQUENT_WORDS] if re.fullmatch("[a-z]{3,}", word)} - LINKS - ARTICLES
    for number, meaning in senses.visible.items():
        for lemma in () if number in instances else meaning.lemmas:
            words = words_of(lemma)
            most = SINGLE if len(words) == 1 else SEVERAL
            if words and words[0] not in RANKS and all(rank.get(word, most) < most for word in words):
                found.add(" ".join(words))
    return sorted(found)


def told_ahead(
    lexicon: Lexicon, read: ReadTexts, texts: Sequence[str], thesaurus: Mapping[str, frozenset[str]]
) -> dict[str, int]:
    """The numbers of the objects that texts mean; logs how many synonyms are read as their object when left out."""
    whole_KE = read([each.text for each in lexicon.wordings])
    reader = AnswerReader(Comparison(lexicon, whole_KE, lexicon.glosses(texts, read), thesaurus), whole_KE)
    right_Q = reader.left_out()
    logging.info("answers: of words left out, %d of %d are found", right_Q.sum(), len(right_Q))
    return dict(zip(texts, reader.answers(texts, read(texts)).tolist(), strict=True))


def read_by_keys(tensors: Mapping[str, np.ndarray]) -> Callable[[Sequence[int]], int]:
    """Gives the row of `known_as` that a table's keys lead tokens to."""
    words, keys = (tensors[f"{name}_keys"].astype(np.float64) * tensors[f"{name}_scale"] for name in ("word", "phrase"))
    leads_to = tensors["known_of"][tensors["leads_to"]]

    def read(ids: Sequence[int]) -> int:
        return int(leads_to[(keys @ words[list(ids)].sum(0)).argmax()])

    return read


def answer_tensors(
    told: Mapping[str, int],
    ids_of: Callable[[str], Sequence[int]],
    read_as: Callable[[Sequence[int]], int],
    is_visible: Callable[[str], bool],
    num_objects: int,
) -> dict[str, np.ndarray]:
    """Answers by the numbers of their wordings, ascending.

    told: what texts mean; read_as: the row that the keys lead tokens to. What they read as a background stays so, and
    what is a single token is left to them: of such words left out the keys tell as many as the answers do.
    """
    found: dict[int, int] = {}
    for text, meaning in sorted(told.items()):
        ids = ids_of(text)
        if len(ids) > 1 and read_as(ids) < num_objects:
            found.setdefault(wording(ids), meaning if is_visible(text) else -1 - meaning)
    numbers = sorted(found)
    return {
        "answers": np.array(numbers, dtype=np.int64),
        "answers_as": np.array([found[number] for number in numbers], dtype=np.int16),
    }
