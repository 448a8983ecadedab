"""Questions in words: what is told, and what is made of the reply."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from PIL import Image

from occlusionformer.evaluation.judgement import DescribedInstance, JudgementError
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.judges.vlm import VlmJudge
from tests.evaluation.judges.tiny import picture, request


@dataclass
class Parrot:
    """Says what it was taught, and remembers what it heard."""

    replies: list[str]
    heard: list[tuple[str, Image.Image]] = field(default_factory=list)
    identity: dict = field(
        default_factory=lambda: {"name": "parrot", "model": "grey", "revision": "1", "settings": {"age": 3}}
    )
    parallel: int = 2

    def ask(self, text: str, picture: Image.Image) -> str:
        self.heard.append((text, picture))
        return self.replies[len(self.heard) - 1]


def test_it_is_a_judge_whose_wording_is_part_of_its_identity():
    judge = VlmJudge(Parrot([]))
    assert isinstance(judge, Judge)
    assert judge.identity["settings"].keys() == {"age", "wording"}
    assert judge.parallel == 2


def test_detection_asks_for_sorted_categories_once_each():
    parrot = Parrot(['{"cat": [[1, 2, 3, 4]]}'])
    instances = tuple(
        DescribedInstance(name=f"n{i}", box=(0, 0, 9, 9), category=c) for i, c in enumerate(["dog", "cat", "dog"])
    )
    judged_answer = VlmJudge(parrot).judge(picture(), request("detect", instances=instances))
    assert judged_answer.answer == {"cat": [[1, 2, 3, 4]], "dog": []}
    assert judged_answer.reply == parrot.replies[0]
    assert '["cat", "dog"]' in parrot.heard[0][0]


def test_entities_are_told_with_boxes_in_whole_pixels_of_the_picture():
    parrot = Parrot(['```json\n{"cat_1": "Yes"}\n```'])
    judged_answer = VlmJudge(parrot).judge(picture(size=(32, 24)), request("entity"))
    assert judged_answer.answer == {"cat_1": "yes", "dog_1": "no"}
    assert '"dog_1": {"category": "dog", "box": [8, 6, 32, 24], "description": "a dog, asleep"}' in parrot.heard[0][0]


def test_relations_are_told_by_key_and_none_means_no_question():
    parrot = Parrot(['{"(cat_1, dog_1)": "yes", "(dog_1, cat_1)": "maybe"}'])
    relations = {"(cat_1, dog_1)": "is behind", "(dog_1, cat_1)": "is near"}
    judged_answer = VlmJudge(parrot).judge(picture(), request("relation", relations=relations))
    assert judged_answer.answer == {"(cat_1, dog_1)": "yes", "(dog_1, cat_1)": "no"}
    assert '"(cat_1, dog_1)": "is behind"' in parrot.heard[0][0]
    assert VlmJudge(Parrot([])).judge(picture(), request("relation")).answer == {}


def test_attributes_look_at_crops_and_what_is_absent_has_none():
    parrot = Parrot(["Yes", "Yes", "No", "yes.", "No"])
    judged_answer = VlmJudge(parrot).judge(picture(size=(64, 64)), request("attributes"))
    assert judged_answer.answer == {
        "cat_1": {"spatial": "yes", "color": "yes", "texture": "no", "shape": "yes"},
        "dog_1": {"spatial": "no", "color": "no", "texture": "no", "shape": "no"},
    }
    assert [heard.size for _, heard in parrot.heard] == [(32, 32)] * 4 + [(48, 48)]


def test_words_that_are_no_answer_are_handed_on_with_the_error():
    with pytest.raises(JudgementError, match="unreadable") as error:
        VlmJudge(Parrot(["a cat"])).judge(picture(), request("detect"))
    assert error.value.reply == "a cat"
    with pytest.raises(JudgementError, match="cat_1"):
        VlmJudge(Parrot(["Yes", "perhaps"])).judge(picture(), request("attributes"))


def test_captions_with_braces_and_quotes_do_not_break_the_question():
    instance = DescribedInstance(name='{"x"}', box=(0, 0, 9, 9), category="{cat}", caption='"{0}" {caption}')
    for kind in ("detect", "entity", "attributes"):
        parrot = Parrot(["{}" if kind != "attributes" else "No"])
        VlmJudge(parrot).judge(picture(), request(kind, instances=(instance,)))
        assert "{cat}" in parrot.heard[0][0] or "{caption}" in parrot.heard[0][0]
