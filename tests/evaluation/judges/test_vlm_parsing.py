"""What counts as an answer."""

from __future__ import annotations

import json

import pytest

from occlusionformer.evaluation.judgement import JudgementError, canonical
from occlusionformer.evaluation.judges.vlm_parsing import read_boxes, read_json, read_yes_no, says_yes


@pytest.mark.parametrize(
    "reply",
    [
        '{"cat": [[1, 2, 3, 4]]}',
        ' \n{"cat": [[1, 2, 3, 4]]}\n',
        'Here you are:\n```json\n{"cat": [[1, 2, 3, 4]]}\n```\nAnything else?',
        '```json{"cat": [[1, 2, 3, 4]]}```\n```json\n{"cat": []}\n```',
    ],
)
def test_bare_and_fenced_json_are_read_and_the_first_fence_counts(reply: str):
    assert read_json(reply) == {"cat": [[1, 2, 3, 4]]}


@pytest.mark.parametrize(
    "reply",
    [
        "{'cat': [[1, 2, 3, 4]]}",
        '{"cat": [[1, 2, 3',
        '```json\n{"cat": [[1, 2\n```',
        '```\n{"cat": []}\n```',
        '[{"cat": []}]',
        "null",
        "",
        "I see a cat.",
        "[" * 100_000,
        None,
    ],
)
def test_anything_else_is_unreadable_as_a_whole(reply: str | None):
    with pytest.raises(JudgementError) as error:
        read_json(reply)
    assert error.value.reason == "unreadable"
    assert error.value.reply == reply


def test_boxes_are_kept_as_they_are_under_the_categories_that_were_asked():
    reply = '{"cat": [[1, 2, 3, 4], ["5", null], 7], "dog": null, "Cat": [[9, 9, 9, 9]], "owl": {"a": 1}}'
    found = read_boxes(reply, ["cat", "dog", "owl", "rat"])
    assert found == {"cat": [[1, 2, 3, 4], ["5", None], 7], "dog": [], "owl": [], "rat": []}


def test_numbers_that_json_cannot_hold_can_be_recorded():
    found = read_boxes('{"cat": [[NaN, Infinity, 1e999, 4]]}', ["cat"])
    assert json.loads(canonical(found)) == {"cat": [["NaN", "Infinity", "1e999", 4]]}


def test_only_the_word_yes_under_the_very_key_counts():
    reply = '{"a": "YES", "b": "yes ", "c": true, "d": "No", "e": null, " f": "Yes"}'
    keys = ["a", "b", "c", "d", "e", "f"]
    assert read_yes_no(reply, keys) == {"a": "yes", "b": "no", "c": "no", "d": "no", "e": "no", "f": "no"}


@pytest.mark.parametrize(
    ("reply", "answer"), [("Yes", True), ("**No**.", False), ("yes, it does", True), ("No\n", False)]
)
def test_short_answers(reply: str, answer: bool):
    assert says_yes(reply) is answer


@pytest.mark.parametrize("reply", ["Yesterday", "I think yes", "", None])
def test_short_answers_that_are_none(reply: str | None):
    with pytest.raises(JudgementError):
        says_yes(reply)
