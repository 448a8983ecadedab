"""Give English words vectors that tell which object they mean.

A word has a vector in the table of single words. Here it is moved towards the objects that it seems to mean: by that
vector, by WordNet's tree (a burro is a donkey) and by its definitions, as the sentence encoder reads them. How much
each counts is fitted to the synonyms of training captions, each left out in turn. Words are all treated alike; wordings
that training holds out are among no wordings here, neither as such nor as a tag of any object.

Arrays: W words, K wordings, N objects, F features, D channels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from text_dictionary import Meaning

from occlusionformer.data.world.artwork import WorldObject
from occlusionformer.data.world.captions import held_out_synonym, training_synonyms
from occlusionformer.generation.vocabulary import LINKS

ARTICLES = frozenset(("a", "an", "the"))
SAME, GENERAL, KIN = 0.03, 0.5, 0.9
"""Of how near two senses are: lost at each step between them; least share of a broader one; share of cousins."""
RARER, RARER_TOLD = 0.25, 0.2
"""How much less a sense counts for every commoner one: of its relations, of its definition."""
CONTEXT = {"name": 3.0, "synonym": 2.0, "tag": 1.0, "adjective": 0.0, "scenery": 0.0}
"""What wordings count for in the sum of all that is said of an object."""
MOVED = 0.5
"""Share of a word's vector that the objects it seems to mean make up."""
UNSEEN = 0.5
"""What a word counts for that is no name of anything visible, as "sitting"."""
CONTEXT_IN_KEY = 3.0
"""Length of what is said of an object in a key, beside the wording's own vector."""
PENALTY = 1e-3

Kind = Literal["name", "synonym", "adjective", "tag", "scenery"]
ReadTexts = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Wording:
    """What something is called."""

    text: str
    of: int
    """Number of the object, -1 of a background."""
    kind: Kind
    form: str
    """The normal form of its noun, by which it is left out."""
    shared: int = 1
    """How many objects have it for a tag."""


def words_of(text: str) -> list[str]:
    return [word for word in re.findall("[a-z]+", text.lower()) if word not in ARTICLES]


def singular(word: str) -> str:
    """Without the ending of a plural; what it makes of other words does not matter, as both sides are treated alike."""
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "oes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def normal_form(text: str) -> str:
    """Neither case, hyphens and blanks, articles nor plurals count."""
    return "".join(map(singular, words_of(text)))


def held_out_forms(objects: Sequence[WorldObject]) -> set[str]:
    """Normal forms of what training calls no object."""
    return {normal_form(word) for item in objects if (word := held_out_synonym(item))}


def wordings(objects: Sequence[WorldObject], scenery: Sequence[str]) -> list[Wording]:
    """Names, training synonyms, both with adjectives, tags that are held out of no object, and backgrounds."""
    held_out = held_out_forms(objects)
    found = []
    for number, item in enumerate(objects):
        for noun in (item.name, *training_synonyms(item)):
            found.append(Wording(noun, number, "name" if noun == item.name else "synonym", normal_form(noun)))
            found += [
                Wording(f"{adjective} {noun}", number, "adjective", normal_form(noun))
                for adjective in item.adjectives
                if adjective not in noun.split()
            ]
    taken = held_out | {normal_form(wording.text) for wording in found} | {""}
    tags = [
        (tag, number, form)
        for number, item in enumerate(objects)
        for tag in item.tags
        if (form := normal_form(tag)) not in taken
    ]
    shared = Counter(form for form, _ in {(form, number) for _, number, form in tags})
    found += [Wording(tag, number, "tag", form, shared[form]) for tag, number, form in tags]
    return [*found, *(Wording(text, -1, "scenery", normal_form(text)) for text in scenery)]


def unit(rows_ND: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=-1, keepdims=True), 1e-9)
    return found.astype(np.float32)


class Senses:
    """Which visible things a noun may mean, and how these are related."""

    def __init__(
        self, visible: Mapping[str, Meaning], everything: Mapping[str, Meaning], ranks: Mapping[tuple[str, str], int]
    ) -> None:
        self.visible, self._everything, self._ranks = visible, everything, ranks
        self._ancestors: dict[str, dict[str, int]] = {}
        self._numbers: dict[str, list[str]] = {}
        below: dict[str, int] = {}
        for number, meaning in visible.items():
            for lemma in meaning.lemmas:
                self._numbers.setdefault(" ".join(words_of(lemma)), []).append(number)
            for other in self.ancestors(number):
                below[other] = below.get(other, 0) + 1
        self._content = {number: 1 - np.log(count) / np.log(len(visible)) for number, count in below.items()}

    def ancestors(self, number: str) -> dict[str, int]:
        """What a sense is a kind of, itself included, and how many steps away."""
        if number not in self._ancestors:
            found = {number: 0}
            for parent in self._everything[number].broader:
                for other, steps in self.ancestors(parent).items() if parent in self._everything else ():
                    found[other] = min(found.get(other, steps + 1), steps + 1)
            self._ancestors[number] = found
        return self._ancestors[number]

    def of(self, text: str) -> list[tuple[str, int]]:
        """Senses of a noun or of its singular, and how many are commoner than each."""
        said = words_of(text)
        for lemma in (" ".join(said), " ".join(map(singular, said))):
            if lemma in self._numbers:
                ranked = [(self._ranks.get((lemma, number), 3), number) for number in self._numbers[lemma]]
                return [(number, rank) for rank, number in sorted(ranked)]
        return []

    def told(self, number: str) -> str:
        """A sense as a line of the dictionary."""
        return f"{', '.join(self.visible[number].lemmas)}: {self.visible[number].definition}"

    def prepare(self, numbers: Sequence[str]) -> None:
        """Make ready to tell relations to these senses."""
        self.numbers = list(numbers)
        self._content_S = np.array([self._content[number] for number in numbers], dtype=np.float32)
        under: dict[str, list[tuple[int, int]]] = {}
        for place, number in enumerate(numbers):
            for other, steps in self.ancestors(number).items():
                under.setdefault(other, []).append((place, steps))
        self._under = {other: np.array(found).T for other, found in under.items()}

    def related(self, number: str) -> np.ndarray:
        """How near a sense is to those made ready, 0..1: to kinds of it, to what it is a kind of, to cousins."""
        common_S = np.zeros(len(self.numbers), dtype=np.float32)
        mine = self.ancestors(number)
        none = np.zeros((2, 0), dtype=np.int64)
        for other in mine:
            places = self._under.get(other, none)[0]
            common_S[places] = np.maximum(common_S[places], self._content[other])
        found_S: np.ndarray = KIN * 2 * common_S / (self._content[number] + self._content_S + 1e-9)
        places, steps_S = self._under.get(number, none)
        found_S[places] = (1 - SAME * steps_S) * (GENERAL + (1 - GENERAL) * self._content[number])
        for other, steps in mine.items():
            places, away_S = self._under.get(other, none)
            found_S[places[away_S == 0]] = 1 - SAME * steps
        return found_S


class Lexicon:
    """Words beside the wordings of the objects, in three ways: by vectors, by the tree, by definitions."""

    def __init__(
        self,
        objects: Sequence[WorldObject],
        scenery: Sequence[str],
        vectors: Mapping[str, np.ndarray],
        senses: Senses,
        read: ReadTexts,
    ) -> None:
        """vectors: of words and pieces in the table of single words, as long as they weigh; read: the encoder."""
        self.objects, self.senses, self.vectors = objects, senses, vectors
        self.wordings = wordings(objects, scenery)
        self.words = sorted(word for word in vectors if re.fullmatch("[a-z]+", word) and word not in LINKS)
        self.own_WD = unit(np.stack([vectors[word] for word in self.words]))
        counts_W = [1.0 if senses.of(word) else UNSEEN for word in self.words]
        self.length_W = np.linalg.norm([vectors[word] for word in self.words], axis=1) * counts_W
        self.place = {word: place for place, word in enumerate(self.words)}
        self.of_K = np.array([wording.of for wording in self.wordings])
        self.unit_KD = unit(np.stack([self.summed(wording.text) for wording in self.wordings]))
        self.counts_K = np.array([CONTEXT[each.kind] * each.shared**-0.5 for each in self.wordings])
        self.sense_of_K = [self._sense(wording) for wording in self.wordings]
        senses.prepare(sorted({number for number in self.sense_of_K if number}))
        places = {number: place for place, number in enumerate(senses.numbers)}
        self.key_K = np.array([places.get(number or "", len(places)) for number in self.sense_of_K])
        self._read_glosses(read)

    def summed(self, text: str, vectors: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """The sum over the words of a text that mean something."""
        vectors = self.vectors if vectors is None else vectors
        blank = np.zeros(len(next(iter(vectors.values()))), dtype=np.float32)
        return sum((vectors[word] for word in words_of(text) if word in vectors and word not in LINKS), blank)

    def _sense(self, wording: Wording) -> str | None:
        """The sense of a noun that is told most like its object."""
        if wording.kind in ("adjective", "scenery"):
            return None
        item = self.objects[wording.of]
        mine = [each.text for each in self.wordings if each.of == wording.of and each.kind == "tag"]
        about_D = unit(self.summed(" ".join([item.name, item.category, *mine])))
        rated = [
            (0.15 / (1 + rank) + float(unit(self.summed(self.senses.told(number))) @ about_D), number)
            for number, rank in self.senses.of(wording.text)
        ]
        return max(rated)[1] if rated else None

    def _read_glosses(self, read: ReadTexts) -> None:
        texts = [wording.text for wording in self.wordings]
        rows_KE = read(texts)
        self.told_KE = unit(rows_KE - rows_KE.mean(0))
        numbers = sorted({number for word in self.words for number, _ in self.senses.of(word)})
        rows_SE = read([self.senses.told(number) for number in numbers])
        of_wordings = set(self.sense_of_K)
        mean_E = rows_SE[[place for place, number in enumerate(numbers) if number in of_wordings]].mean(0)
        self._gloss_of = dict(zip(numbers, unit(rows_SE - mean_E), strict=True))
        self._gloss_mean_E = mean_E

    def glosses(self, texts: Sequence[str], read: ReadTexts) -> dict[str, np.ndarray]:
        """Vectors of the definitions of all senses of words, wordings and these texts."""
        wanted = {number for text in texts for number, _ in self.senses.of(text)} | set(filter(None, self.sense_of_K))
        numbers = sorted(wanted - self._gloss_of.keys())
        rows_SE = read([self.senses.told(number) for number in numbers])
        return self._gloss_of | dict(zip(numbers, unit(rows_SE - self._gloss_mean_E), strict=True))

    def beside(self, words: Sequence[str]) -> np.ndarray:
        """How near words are to wordings: by vectors, by the tree, by definitions; (3, W, K)."""
        found = np.zeros((3, len(words), len(self.wordings)), dtype=np.float32)
        found[0] = self.own_WD[[self.place[word] for word in words]] @ self.unit_KD.T
        for row, word in enumerate(words):
            for number, rank in self.senses.of(word):
                tree_K = np.append(self.senses.related(number), 0)[self.key_K] / (1 + RARER * rank)
                told_K = self.told_KE @ self._gloss_of[number] / (1 + RARER_TOLD * rank)
                found[1, row] = np.maximum(found[1, row], tree_K)
                found[2, row] = np.maximum(found[2, row], told_K)
        return found

    def context(self, kept_K: np.ndarray, unit_KD: np.ndarray | None = None) -> np.ndarray:
        """Directions of all that is said of each object, (N, D)."""
        rows_KD = (self.unit_KD if unit_KD is None else unit_KD) * (self.counts_K * kept_K)[:, None]
        found_ND = self._context_alone_ND.copy()
        told = self.of_K >= 0
        np.add.at(found_ND, self.of_K[told], rows_KD[told].astype(np.float32))
        return unit(found_ND)

    @cached_property
    def _context_alone_ND(self) -> np.ndarray:
        """Of the categories of objects and of what the dictionary says of their names."""
        held_out = held_out_forms(self.objects)
        found_ND = np.stack([unit(self.summed(item.category)) for item in self.objects])
        for wording, number in zip(self.wordings, self.sense_of_K, strict=True):
            if wording.kind == "name" and number:
                own = {normal_form(word) for word in self.objects[wording.of].synonyms}
                meaning = self.senses.visible[number]
                texts = [lemma for lemma in meaning.lemmas if normal_form(lemma) not in held_out | own]
                for text in (meaning.definition, *texts):
                    found_ND[wording.of] += unit(self.summed(text))
        return found_ND

    def features(self, words: Sequence[str], kept_K: np.ndarray) -> np.ndarray:
        """What tells which object a word means, (W, N, F), by the wordings that are kept."""
        near, tree, told = self.beside(words)
        out_K = np.where(kept_K > 0, 0, -3).astype(np.float32)
        found = np.full((len(words), len(self.objects), 6), -1, dtype=np.float32)
        for number, (called, tagged, named) in enumerate(self._groups):
            both = np.concatenate([called, tagged])
            found[:, number, 0] = (near + out_K)[:, called].max(1)
            if len(tagged):
                found[:, number, 1] = np.maximum((near + out_K)[:, tagged].max(1), -1)
            found[:, number, 2] = near[:, named].max(1)
            found[:, number, 4] = np.maximum((tree + out_K)[:, both].max(1), 0) ** 2
            found[:, number, 5] = np.maximum((told + out_K)[:, both].max(1), -1)
        found[:, :, 3] = self.own_WD[[self.place[word] for word in words]] @ self.context(kept_K).T
        return found

    @cached_property
    def _groups(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each object the places of what it is called, of tags that are its alone, and of its name."""
        kinds = np.array([wording.kind for wording in self.wordings])
        alone = np.array([wording.shared == 1 for wording in self.wordings])
        return [
            (
                np.flatnonzero((self.of_K == number) & (kinds != "tag")),
                np.flatnonzero((self.of_K == number) & (kinds == "tag") & alone),
                np.flatnonzero((self.of_K == number) & (kinds == "name")),
            )
            for number in range(len(self.objects))
        ]


def fitted(features_QNF: np.ndarray, object_Q: np.ndarray) -> np.ndarray:
    """Weights of features, (F,), by which left-out words tell their objects best: a logistic regression."""
    rows, answer = torch.from_numpy(features_QNF).double(), torch.from_numpy(object_Q)
    weights = torch.zeros(rows.shape[-1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(rows @ weights, answer) + PENALTY * (weights**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach().numpy()


def moved(own_WD: np.ndarray, scores_WN: np.ndarray, context_ND: np.ndarray) -> np.ndarray:
    """Directions of words, moved towards what is said of the objects that they seem to mean."""
    share_WN = np.exp(scores_WN - scores_WN.max(1, keepdims=True))
    share_WN /= share_WN.sum(1, keepdims=True)
    return unit((1 - MOVED) * own_WD + MOVED * (share_WN @ context_ND))
