"""How the text table is taught: the dictionary's files are read as they are, and synonyms end up side by side."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from occlusionformer.embedded.text import packaged_tokenizer

TOOL = Path(__file__).resolve().parents[2] / "tools" / "text_dictionary.py"
LICENCE = "  1 This software and database is being provided to you"
NOUNS = """
00000001 06 n 02 backpack 0 rucksack 0 001 @ 00000002 n 0000 | a bag carried on your back; "he shouldered his rucksack"
00000002 06 n 01 bag 0 000 | a flexible container (of cloth) with one opening
00000003 05 n 02 duck 0 drake 1 001 @ 00000004 n 0000 | a small (wild) swimming bird
00000004 05 n 01 bird 0 000 | a creature with feathers
00000005 10 n 01 drake 0 000 | an idea nobody can see
"""
RANKS = """
backpack n 1 1 @ 1 0 00000001
rucksack n 1 1 @ 1 0 00000001
bag n 1 0 1 0 00000002
duck n 1 1 @ 1 0 00000003
drake n 2 1 @ 2 0 00000005 00000003
bird n 1 0 1 0 00000004
"""
ADJECTIVES = """
00000009 00 a 02 heavy 0 hard_to_lift 0 000 | weighing much
00000010 00 a 01 wild(p) 0 000 | untamed
"""


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("text_dictionary", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["text_dictionary"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def dictionary(tmp_path) -> Path:
    for name, text in (("data.noun", NOUNS), ("index.noun", RANKS), ("data.adj", ADJECTIVES)):
        (tmp_path / name).write_text(f"{LICENCE}\n{text.strip()}\n", encoding="utf-8")
    return tmp_path


def test_reads_meanings_of_visible_things(tool, dictionary):
    concrete, everything = tool.read_meanings(dictionary)
    assert set(everything) - set(concrete) == {"00000005"}
    backpack = concrete["00000001"]
    assert backpack.lemmas == ("backpack", "rucksack")
    assert backpack.definition == "a bag carried on your back"
    assert backpack.broader == ("00000002",)
    assert concrete["00000003"].definition == "a small  swimming bird"


def test_reads_senses_and_adjectives(tool, dictionary):
    ranks = tool.read_ranks(dictionary)
    assert (ranks["drake", "00000005"], ranks["drake", "00000003"], ranks["bird", "00000004"]) == (0, 1, 0)
    assert tool.read_adjectives(dictionary) == ["heavy", "wild"]


def test_synonyms_come_together_and_adjectives_lose_weight(tool, dictionary, monkeypatch):
    monkeypatch.setattr(tool, "STEPS", 60)
    monkeypatch.setattr(tool, "BATCH", 32)
    tokenizer = packaged_tokenizer()
    before = np.random.default_rng(0).normal(size=(tokenizer.vocab_size, 16)).astype(np.float32)
    rows, weight = tool.fit(before, tokenizer, dictionary)
    assert rows.shape == before.shape
    assert weight.shape == (len(before), 1)
    assert (weight > 0).all()

    def phrase(text: str, table: np.ndarray, weights: np.ndarray) -> np.ndarray:
        ids = tokenizer(text).input_ids
        mean = (table[ids] * weights[ids]).sum(axis=0)
        return mean / np.linalg.norm(mean)

    def nearness(table: np.ndarray, weights: np.ndarray) -> list[float]:
        wanted = phrase("a heavy rucksack", table, weights)
        return [float(wanted @ phrase(text, table, weights)) for text in ("backpack", "a wild duck")]

    same, other = nearness(rows, weight)
    was_same, was_other = nearness(before, np.ones_like(weight))
    assert same - other > 0.5
    assert same - other > was_same - was_other

    def weight_of(word: str) -> float:
        return float(weight[tokenizer(word).input_ids].mean())

    # All start at 1; what is put before any noun at random says nothing about it.
    assert max(weight_of("heavy"), weight_of("red"), weight_of("the")) < 1
    assert weight_of("backpack") > 1.5
