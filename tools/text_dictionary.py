"""Teach the static text table what words mean, from the definitions of WordNet 3.1.

A sentence encoder's vectors of single words know little of rarer ones. Here rows are moved, and every row is given a
weight in the mean, so that a noun phrase lies by its synonyms, its broader terms and its definition, and far from those
of other things: contrastive learning over pairs of a dictionary, with random adjectives before the nouns so that these
come to weigh more. Nothing of this project's captions is used.

Arrays: P phrases, S tokens, V rows, D channels.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CONCRETE = frozenset((5, 6, 8, 13, 15, 17, 18, 19, 20, 27))
"""WordNet's lexicographer files of things one can see: animals, artefacts, bodies, food, places and so on."""
COLOURS = "red orange yellow green blue purple pink brown black white grey golden silver".split()  # noqa: SIM905
ARTICLES = ("a", "an", "the", "")
STEPS, BATCH, RATE, WEIGHT_RATE = 1200, 1024, 1.5e-2, 7e-2
TEMPERATURE = 0.07
SEED = 0


@dataclass(frozen=True)
class Meaning:
    """One set of synonyms."""

    lemmas: tuple[str, ...]
    definition: str
    broader: tuple[str, ...]
    """Numbers of the sets that this one is a kind of."""


@dataclass(frozen=True)
class Pairs:
    """Nouns and what each should lie near to; `probability` falls with how rare the sense is."""

    noun: np.ndarray
    """(N, S) token ids."""
    near: np.ndarray
    """(N, S) token ids: another noun or a definition."""
    is_definition: np.ndarray
    meaning: np.ndarray
    """Number of the meaning a pair was made of; one batch takes a single pair of each."""
    target: np.ndarray
    """Equal numbers for equal targets, which are no negatives of one another."""
    probability: np.ndarray


def read_meanings(folder: Path) -> tuple[dict[str, Meaning], dict[str, Meaning]]:
    """The sets of noun synonyms of visible things, and of everything."""
    meanings, concrete = {}, set()
    for line in _lines(folder / "data.noun"):
        data, gloss = line.split(" | ", 1)
        fields = data.split()
        count = int(fields[3], 16)
        lemmas = tuple(fields[4 + 2 * place].replace("_", " ").lower() for place in range(count))
        first = 5 + 2 * count
        pointers = [fields[first + 4 * place : first + 4 * place + 2] for place in range(int(fields[first - 1]))]
        definition = re.sub(r"\(.*?\)", "", gloss.split(' "')[0]).strip(" ;").lower()
        broader = tuple(number for symbol, number in pointers if symbol in ("@", "@i"))
        meanings[fields[0]] = Meaning(lemmas=lemmas, definition=definition, broader=broader)
        if int(fields[1]) in CONCRETE:
            concrete.add(fields[0])
    return {number: meaning for number, meaning in meanings.items() if number in concrete}, meanings


def read_instances(folder: Path) -> set[str]:
    """Numbers of the sets of noun synonyms that name single persons, places or works."""
    fields = (line.split(" | ", 1)[0].split() for line in _lines(folder / "data.noun"))
    return {entry[0] for entry in fields if "@i" in entry}


def read_ranks(folder: Path, among: Container[str] | None = None) -> dict[tuple[str, str], int]:
    """How many senses of a noun are commoner than the one of a number; only those `among` some, if given, count."""
    ranks = {}
    for line in _lines(folder / "index.noun"):
        fields = line.split()
        numbers = [number for number in fields[6 + int(fields[3]) :] if among is None or number in among]
        ranks |= {(fields[0].replace("_", " "), number): rank for rank, number in enumerate(numbers)}
    return ranks


def read_adjectives(folder: Path) -> list[str]:
    """Single-word adjectives."""
    words = set()
    for line in _lines(folder / "data.adj"):
        fields = line.split()
        words |= {re.sub(r"\(.*", "", fields[4 + 2 * place]).lower() for place in range(int(fields[3], 16))}
    return sorted(word for word in words if word.isalpha())


def _lines(path: Path) -> list[str]:
    """Without the licence at the top, which is indented."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")]


def build_pairs(folder: Path, tokenizer: Any, *, visible_senses: bool = False) -> Pairs:
    """visible_senses: a sense is rare when others that one can see are commoner, not any others."""
    meanings, everything = read_meanings(folder)
    ranks = read_ranks(folder, meanings if visible_senses else None)
    definitions = [meaning.definition for meaning in meanings.values()]
    lemmas = sorted({lemma for meaning in everything.values() for lemma in meaning.lemmas})
    place_of = {lemma: place for place, lemma in enumerate(lemmas)}
    rows: list[tuple[int, int, bool, int, float]] = []
    for number_of_meaning, (number, meaning) in enumerate(meanings.items()):
        share = {lemma: 1 / (1 + ranks.get((lemma, number), 3)) for lemma in meaning.lemmas}
        kinds = [everything[other].lemmas[0] for other in meaning.broader]
        for lemma, likely in share.items():
            place = place_of[lemma]
            rows.append((place, number_of_meaning, True, number_of_meaning, 0.5 * likely))
            rows += [(place, place_of[kind], False, number_of_meaning, 0.4 * likely) for kind in kinds]
            rows += [
                (place, place_of[other], False, number_of_meaning, likely * as_likely)
                for other, as_likely in share.items()
                if other != lemma
            ]
    noun, near, is_definition, of, probability = (np.array(column) for column in zip(*rows, strict=True))
    lemma_ids, definition_ids = token_ids(tokenizer, lemmas, 24), token_ids(tokenizer, definitions, 24)
    return Pairs(
        noun=lemma_ids[noun, :8],
        near=np.where(is_definition[:, None], definition_ids[near * is_definition], lemma_ids[near * ~is_definition]),
        is_definition=is_definition,
        meaning=of,
        target=np.where(is_definition, -1 - near, near),
        probability=probability / probability.sum(),
    )


def token_ids(tokenizer: Any, texts: Sequence[str], length: int) -> np.ndarray:
    encoded = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, add_special_tokens=False)
    return np.array(encoded.input_ids, dtype=np.int64)


def fit(
    table_VD: np.ndarray, tokenizer: Any, folder: Path, *, visible_senses: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (V, D) and their weights (V, 1), from the rows of a sentence encoder and a folder of WordNet's files."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    pairs, adjectives = build_pairs(folder, tokenizer, visible_senses=visible_senses), read_adjectives(folder)
    words = [token_ids(tokenizer, COLOURS, 4), token_ids(tokenizer, adjectives, 4)]
    articles = token_ids(tokenizer, ARTICLES, 1)

    def dressed(ids_PS: np.ndarray) -> np.ndarray:
        """With an article or none, and with a colour, another adjective or none."""
        count = len(ids_PS)
        colour, other = (some[rng.integers(len(some), size=count)] for some in words)
        adjective = np.where((rng.random(count) < 0.4)[:, None], colour, other) * (rng.random(count) < 0.5)[:, None]
        return np.concatenate([articles[rng.integers(len(articles), size=count)], adjective, ids_PS], axis=1)

    rows_VD = torch.from_numpy(table_VD.copy()).requires_grad_()
    log_weight_V1 = torch.zeros(len(table_VD), 1, requires_grad=True)
    optimizer = torch.optim.Adam(
        [{"params": [rows_VD], "lr": RATE}, {"params": [log_weight_V1], "lr": WEIGHT_RATE}], betas=(0.9, 0.99)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    cumulative = np.cumsum(pairs.probability)
    for _ in range(STEPS):
        drawn = np.searchsorted(cumulative, rng.random(BATCH) * cumulative[-1])
        drawn = drawn[np.unique(pairs.meaning[drawn], return_index=True)[1]]
        near = dressed(pairs.near[drawn])
        plain = pairs.is_definition[drawn]
        near[plain] = np.pad(pairs.near[drawn][plain], ((0, 0), (0, near.shape[1] - pairs.near.shape[1])))
        noun = dressed(pairs.noun[drawn])
        target = pairs.target[drawn]
        same = torch.from_numpy((target[:, None] == target) & ~np.eye(len(target), dtype=bool))
        logits = pooled(noun, rows_VD, log_weight_V1) @ pooled(near, rows_VD, log_weight_V1).T / TEMPERATURE
        logits = logits.masked_fill(same, -1e4)
        answer = torch.arange(len(target))
        loss = F.cross_entropy(logits, answer) + F.cross_entropy(logits.T, answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return rows_VD.detach().numpy(), log_weight_V1.detach().exp().numpy()


def with_word_vectors(
    table_VD: np.ndarray, vocabulary: dict[str, int], vector_of: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Rows of the same width that lie by each other where a second model's vectors of whole words do too."""
    known = {row: vector_of[token] for token, row in vocabulary.items() if token in vector_of}
    other_VE = np.zeros((len(table_VD), len(next(iter(known.values())))), dtype=np.float32)
    other_VE[list(known)] = list(known.values())
    length_V1 = np.linalg.norm(table_VD, axis=1, keepdims=True)
    other_VE *= length_V1 / np.maximum(np.linalg.norm(other_VE, axis=1, keepdims=True), 1e-6)
    return reduced_rows(np.concatenate([table_VD, other_VE], axis=1), table_VD)


def joined(fits: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """One table of the same width from several fits: they err on other words, and their mean on fewer."""
    weighted = [rows_VD * weight_V1 for rows_VD, weight_V1 in fits]
    live_V = fits[0][0].any(axis=1)
    parts = [rows_VD / np.linalg.norm(rows_VD[live_V], axis=1).mean() for rows_VD in weighted]
    weight_V1 = np.exp(np.mean([np.log(weight_V1) for _, weight_V1 in fits], axis=0))
    return reduced_rows(np.concatenate(parts, axis=1), fits[0][0]) / weight_V1, weight_V1


def reduced_rows(rows_VE: np.ndarray, like_VD: np.ndarray) -> np.ndarray:
    """Rows of the width of others, blank where these are, unit variance; by the singular vectors, uncentred."""
    live_V = like_VD.any(axis=1)
    _, _, directions_EE = np.linalg.svd(rows_VE[live_V], full_matrices=False)
    found_VD = np.where(live_V[:, None], rows_VE @ directions_EE[: like_VD.shape[1]].T, 0)
    unit_VD: np.ndarray = found_VD / np.sqrt(np.mean(found_VD[live_V] ** 2))
    return unit_VD.astype(np.float32)


def pooled(ids_PS: np.ndarray, rows_VD: Tensor, log_weight_V1: Tensor) -> Tensor:
    """Directions of the weighted means over tokens, (P, D); token 0 is padding."""
    ids = torch.from_numpy(ids_PS)
    weight_PS1 = F.embedding(ids, log_weight_V1).exp() * (ids != 0)[..., None]
    return F.normalize((F.embedding(ids, rows_VD) * weight_PS1).sum(1), dim=-1)
