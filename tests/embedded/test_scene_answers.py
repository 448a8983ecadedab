"""Answers kept for wordings: how they are read, which wordings are told, and what is stored of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from occlusionformer.embedded.text import ONLY_NEAREST, packaged_text_model, packaged_tokenizer
from occlusionformer.embedded.wordings import NamedPart, longest_within, wording

TOOLS = Path(__file__).resolve().parents[2] / "tools"
OBJECT = 5


@pytest.fixture
def beside_the_tools(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)


@pytest.fixture
def read_with():
    """Reads texts by the packaged table with a single answer in place of its own."""
    tokenizer = packaged_tokenizer()

    def read(text: str, answered: str, answer: int) -> torch.Tensor:
        table = packaged_text_model()
        table.answers = torch.tensor([wording(tokenizer(answered).input_ids)])
        table.answers_as = torch.tensor([answer], dtype=torch.int16)
        return table.pooled(torch.tensor([tokenizer(text).input_ids]))[0] / 16

    return read


def object_direction() -> torch.Tensor:
    return torch.nn.functional.normalize(packaged_text_model().known_as[OBJECT].float(), dim=0)


def test_a_wording_that_has_an_answer_is_read_so_alone_and_within_a_text(read_with):
    for text in ("velvet whatsit", "a velvet whatsit", "a big velvet whatsit", "a velvet whatsit on a cat"):
        torch.testing.assert_close(read_with(text, "velvet whatsit", OBJECT), object_direction())
    assert not torch.allclose(read_with("a velvet", "velvet whatsit", OBJECT), object_direction(), atol=0.1)
    blue = read_with("a blue velvet whatsit", "velvet whatsit", OBJECT)
    assert float(blue @ object_direction()) == pytest.approx(1 / (1 + 0.7**2) ** 0.5, abs=1e-4)


def test_an_answer_for_whole_texts_says_nothing_of_a_part(read_with):
    torch.testing.assert_close(read_with("a velvet whatsit", "velvet whatsit", -1 - OBJECT), object_direction())
    cat = read_with("a cat", "velvet whatsit", OBJECT)
    torch.testing.assert_close(read_with("a velvet whatsit cat", "velvet whatsit", -1 - OBJECT), cat)


def test_the_nearest_there_is_counts_within_a_text_where_nothing_else_does(read_with):
    for text in ("velvet whatsit", "a velvet whatsit", "a big velvet whatsit"):
        torch.testing.assert_close(read_with(text, "velvet whatsit", OBJECT + ONLY_NEAREST), object_direction())
    cat = read_with("a cat", "velvet whatsit", OBJECT)
    torch.testing.assert_close(read_with("a velvet whatsit cat", "velvet whatsit", OBJECT + ONLY_NEAREST), cat)


def test_an_answer_in_a_text_counts_whatever_the_keys_say(read_with):
    """The keys would read the cat alone."""
    torch.testing.assert_close(read_with("a velvet cat whatsit", "cat whatsit", OBJECT), object_direction())


def test_what_training_says_is_no_matter_of_answers(read_with):
    cat = read_with("a cat", "velvet whatsit", OBJECT)
    assert torch.equal(read_with("a cat", "cat", OBJECT), cat)


def test_the_packaged_answers_can_be_searched_and_are_objects():
    table = packaged_text_model()
    assert len(table.answers) == table.config.num_answers > 10_000
    assert (table.answers[1:] > table.answers[:-1]).all()
    meant = torch.where(table.answers_as < 0, -1 - table.answers_as, table.answers_as % ONLY_NEAREST)
    assert 0 <= int(meant.min()) <= int(meant.max()) < 416


def test_the_longest_part_counts_and_of_equal_ones_the_last_before_a_link():
    meanings = {(1,): 10, (2,): 20, (1, 3): 30}
    within = lambda ids: longest_within(ids, {9}, lambda part: meanings.get(tuple(part)))  # noqa: E731
    assert within([1, 2]) == NamedPart(slice(1, 2), 20)
    assert within([1, 9, 2]) == NamedPart(slice(0, 1), 10)
    assert within([2, 1, 3]) == NamedPart(slice(1, 3), 30)
    assert within([2]) is None, "a whole text is no part of itself"


def test_of_equally_long_parts_the_first_reader_says_what_is_meant():
    first, second = {(1,): 10}, {(2,): 20, (3, 2): 30}

    def within(ids: list[int]) -> NamedPart | None:
        return longest_within(ids, (), lambda part: first.get(tuple(part)), lambda part: second.get(tuple(part)))

    assert within([1, 2]) == NamedPart(slice(0, 1), 10)
    assert within([1, 3, 2]) == NamedPart(slice(1, 3), 30)
    assert within([4, 2]) == NamedPart(slice(1, 2), 20)


@pytest.mark.usefixtures("beside_the_tools")
def test_told_are_frequent_words_and_wordings_of_the_dictionary_but_for_ranks_and_instances():
    from scene_answers import told_texts
    from scene_words import Senses
    from text_dictionary import Meaning

    lemmas = {"a": ("flying saucer", "ufo"), "b": ("genus saucer",), "c": ("flying paris",), "d": ("rare qwz",)}
    visible = {number: Meaning(names, "something", ()) for number, names in lemmas.items()}
    common = ["with", "is", "ufo", "saucer", "flying", "paris", "genus", "rare", "u2"]
    found = told_texts(Senses(visible, visible, {}), {"c"}, common)
    assert found == ["flying", "flying saucer", "genus", "paris", "rare", "saucer", "ufo"]


@pytest.mark.usefixtures("beside_the_tools")
def test_kept_are_answers_of_several_tokens_that_keys_lead_to_no_background():
    from scene_answers import answer_tensors

    ids = {"ufo": [3, 4], "saucer": [5], "night street": [6, 7], "of all": [8, 9]}
    tensors = answer_tensors(
        dict.fromkeys(ids, 2), ids.__getitem__, lambda row: 9 if 6 in row else 1, lambda text: text != "of all", 4
    )
    kept = dict(zip(tensors["answers"].tolist(), tensors["answers_as"].tolist(), strict=True))
    assert kept == {wording([3, 4]): 2, wording([8, 9]): -3}
    assert tensors["answers"].tolist() == sorted(kept)


@pytest.mark.usefixtures("beside_the_tools")
def test_the_thesaurus_is_read_in_normal_forms():
    from scene_answers import read_thesaurus

    assert read_thesaurus("ufo,flying saucers,the ufos\nsaucer,dish\n") == {
        "ufo": frozenset({"flyingsaucer", "ufo"}),
        "saucer": frozenset({"dish"}),
    }


@pytest.mark.usefixtures("beside_the_tools")
def test_keys_lead_tokens_to_the_row_of_the_nearest():
    from scene_answers import read_by_keys

    tensors = {
        "word_keys": np.eye(3, dtype=np.int8),
        "word_scale": np.array([[1.0], [1.0], [5.0]]),
        "phrase_keys": np.eye(3, dtype=np.int8),
        "phrase_scale": np.ones((3, 1)),
        "leads_to": np.array([1, 0, 2]),
        "known_of": np.array([7, 8, 9]),
    }
    read = read_by_keys(tensors)
    assert (read([0]), read([1]), read([0, 2])) == (8, 7, 9)
