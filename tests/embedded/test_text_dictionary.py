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
    concrete, _ = tool.read_meanings(dictionary)
    among = tool.read_ranks(dictionary, concrete)
    assert ("drake", "00000005") not in among
    assert (among["drake", "00000003"], among["backpack", "00000001"]) == (0, 0)


def test_senses_that_nobody_sees_make_others_rare_unless_left_out(tool, dictionary):
    tokenizer = packaged_tokenizer()
    for visible, share in ((False, 1 / 2), (True, 1)):
        pairs = tool.build_pairs(dictionary, tokenizer, visible_senses=visible)
        of = {
            tokenizer.decode(noun[noun > 0]): probability
            for noun, is_definition, probability in zip(pairs.noun, pairs.is_definition, pairs.probability, strict=True)
            if is_definition
        }
        assert of["drake"] / of["duck"] == pytest.approx(share)


def test_word_vectors_bring_words_together_and_keep_the_rest(tool):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(40, 6)).astype(np.float32)
    table[0] = 0
    alike = rng.normal(size=3).astype(np.float32)
    rows = tool.with_word_vectors(
        table, {"rucksack": 3, "backpack": 4, "other": 5}, {"rucksack": alike, "backpack": alike}
    )
    assert rows.shape == table.shape
    assert not rows[0].any()
    assert np.mean(rows[1:] ** 2) == pytest.approx(1, rel=1e-5)

    def cosine(some: np.ndarray) -> float:
        return float(some[3] @ some[4] / np.linalg.norm(some[3]) / np.linalg.norm(some[4]))

    assert cosine(rows) > cosine(table) + 0.1


def test_joined_fits_agree_with_their_mean_where_room_is_enough(tool):
    """Two fits of rank two fit four channels: then the joined cosines are those of the two side by side."""
    rng = np.random.default_rng(1)
    plane = rng.normal(size=(2, 2, 4)).astype(np.float32)
    fits = [
        ((rng.normal(size=(30, 2)) @ plane[place]).astype(np.float32), rng.uniform(0.5, 2, size=(30, 1)))
        for place in range(2)
    ]
    rows, weight = tool.joined(fits)
    assert np.allclose(weight, np.sqrt(fits[0][1] * fits[1][1]))
    halves = [each * its / np.linalg.norm(each * its, axis=1).mean() for each, its in fits]
    beside = np.concatenate(halves, axis=1)
    cosines = [
        (each @ each.T) / np.linalg.norm(each, axis=1) / np.linalg.norm(each, axis=1)[:, None]
        for each in (rows * weight, beside)
    ]
    assert np.allclose(*cosines, atol=1e-4)
