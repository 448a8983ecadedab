"""What counts as an answer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from occlusionformer.evaluation.judgement import JudgementError, canonical
from occlusionformer.evaluation.judges.vlm_parsing import (
    begins_with_yes,
    contains_yes,
    contains_yes_in_any_case,
    read_boxes,
    read_json,
    read_yes_no,
)
from tests.tables import for_each


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


@for_each(
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
def test_all_rules_read_a_plain_answer_alike(reply: str, answer: bool):
    assert begins_with_yes(reply) is answer
    assert contains_yes(reply) is answer
    assert contains_yes_in_any_case(reply) is answer


@pytest.mark.parametrize(
    "reply", ["The answer is Yes.", "yesterday's car", "No. Well, yes", "The eyes are blue", "Yes or No? Yes"]
)
def test_published_code_takes_a_yes_anywhere(reply: str):
    assert contains_yes(reply)
    assert contains_yes_in_any_case(reply)


@pytest.mark.parametrize("reply", ["The answer is No.", "there is no cat", "NO"])
def test_a_reply_with_the_word_no_is_no(reply: str):
    assert not contains_yes(reply)
    assert not contains_yes_in_any_case(reply)


def test_the_two_published_rules_differ_in_capitals():
    assert contains_yes_in_any_case("YES")
    with pytest.raises(JudgementError, match="expected yes or no"):
        contains_yes("YES")


@pytest.mark.parametrize("reply", ["Yesterday", "I think yes", "The answer is Yes.", "", None])
def test_replies_that_begin_with_neither_word(reply: str | None):
    with pytest.raises(JudgementError):
        begins_with_yes(reply)


@for_each("rule", [begins_with_yes, contains_yes, contains_yes_in_any_case])
@for_each("reply", ["perhaps", "nothing of the kind", "", None])
def test_replies_that_say_neither_are_unreadable(rule: Callable[[str | None], bool], reply: str | None):
    with pytest.raises(JudgementError) as error:
        rule(reply)
    assert error.value.reason == "unreadable"
