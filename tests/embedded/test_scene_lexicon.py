"""The lexicon written by hand: its file, what of it becomes answers, and how the packaged table reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.embedded.wordings import wording
from occlusionformer.generation.vocabulary import Vocabulary

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NAMES = ("cat", "cup")


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import scene_lexicon

    return scene_lexicon


def ids_of(text: str) -> list[int]:
    """A number for every word."""
    return [sum(ord(letter) * 31**place for place, letter in enumerate(word)) for word in text.split()]


def test_entries_have_a_wording_an_object_and_a_sign(tool):
    found = tool.read_lexicon("moggy\tcat\t=\nchalice\tcup\t~\n", NAMES)
    assert found == [tool.Entry("moggy", 0, True), tool.Entry("chalice", 1, False)]


def test_all_that_is_wrong_is_named_by_its_line(tool):
    with pytest.raises(ValueError, match="line 1") as raised:
        tool.read_lexicon("moggy\tdog\t=\nchalice\tcup\t?\nmug\tcup\t=\nmug\tcup\t~\nkitten\n", NAMES)
    problems = str(raised.value).splitlines()
    assert [problem.split(":")[0] for problem in problems] == ["line 1", "line 2", "line 4", "line 5"]
    assert "'mug' again" in problems[2]


def test_plurals_of_most_words(tool):
    words = ("mug", "glass", "fox", "bench", "pony", "toy", "fireman")
    assert list(map(tool.plural, words)) == ["mugs", "glasses", "foxes", "benches", "ponies", "toys", "firemen"]


def test_a_sure_wording_is_told_in_all_spellings_and_the_nearest_only_as_it_stands(tool):
    entries = [tool.Entry("tea-mug", 1, True), tool.Entry("chalice", 1, False)]
    found = tool.lexicon_answers(entries, ids_of, (), lambda ids: False)
    forms = ("tea-mug", "tea mug", "tea-mugs", "tea mugs")
    assert found == {wording(ids_of(form)): 1 for form in forms} | {wording(ids_of("chalice")): 1 + tool.ONLY_NEAREST}


def test_what_is_sure_goes_first_and_colours_are_left_out(tool):
    entries = [
        tool.Entry("house cat", 1, False),
        tool.Entry("cat house", 0, True),
        tool.Entry("blue cat", 0, True),
        tool.Entry("beach", 1, False),
        tool.Entry("beach cup", 1, True),
    ]
    beach = ids_of("beach")[0]
    found = tool.lexicon_answers(entries, ids_of, ids_of("blue"), lambda ids: beach in ids)
    wanted = {"cat house": 0, "cat houses": 0, "beach cup": 1, "beach cups": 1}
    assert found == {wording(ids_of(form)): meaning for form, meaning in wanted.items()}


def test_answers_by_hand_take_the_place_of_others(tool):
    own = {"answers": np.array([3, 7]), "answers_as": np.array([1, 2], dtype=np.int16)}
    merged = tool.with_answers(own, {9: 4, 7: -1, 5: 0})
    assert merged["answers"].tolist() == [3, 5, 7, 9]
    assert merged["answers_as"].tolist() == [1, 0, -1, 4]


def test_the_packaged_table_reads_what_the_lexicon_says(tool):
    """Of wordings that no colour is part of and that training does not say itself."""
    objects = Vocabulary.read(EMBEDDED.vocabulary).objects
    entries = tool.read_lexicon(tool.LEXICON.read_text(encoding="utf-8"), [item.name for item in objects])
    read = packaged_reader()
    chosen = [entry for entry in entries if entry.sure and len(entry.text.split()) == 1][::40]
    found_TD, names_ND = read([f"a {entry.text}" for entry in chosen]), read([item.name for item in objects])
    nearest = torch.nn.functional.normalize(found_TD, dim=1) @ torch.nn.functional.normalize(names_ND, dim=1).T
    right = sum(int(row.argmax()) == entry.meaning for row, entry in zip(nearest, chosen, strict=True))
    assert len(chosen) >= 40
    assert right >= 0.97 * len(chosen)
