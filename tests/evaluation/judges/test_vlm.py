"""Questions in words: what is told, and what is made of the reply."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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


def test_it_is_a_judge_whose_prompts_are_part_of_its_identity():
    judge = VlmJudge(Parrot([]))
    assert isinstance(judge, Judge)
    assert judge.identity["settings"].keys() == {"age", "prompts"}
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


CUP = DescribedInstance(name="1", box=(0, 0, 32, 32), category="a cup / mug", detail="a tall red cup, glazed")
DOG = DescribedInstance(name="2", box=(16, 16, 64, 64), category="a dog", detail="a brown dog")


def test_presence_is_asked_with_the_short_description_and_attributes_with_both():
    parrot = Parrot(["The answer is Yes.", "Yes", "No", "yes.", "No"])
    found = VlmJudge(parrot).judge(picture(size=(64, 64)), request("attributes", instances=(CUP, DOG)))
    assert found.answer == {
        "1": {"spatial": "yes", "color": "yes", "texture": "no", "shape": "yes"},
        "2": {"spatial": "no", "color": "no", "texture": "no", "shape": "no"},
    }
    presence, *attributes = [text for text, _ in parrot.heard[:4]]
    assert "a cup  mug" in presence
    assert "glazed" not in presence
    assert all("a cup  mug" in text and "a tall red cup, glazed" in text for text in attributes)
    assert [name in text for name, text in zip(("color", "texture", "shape"), attributes, strict=True)] == [True] * 3
    assert [seen.size for _, seen in parrot.heard] == [(32, 32)] * 4 + [(48, 48)]
    assert found.num_unreadable == 0


def test_of_detected_objects_presence_is_not_asked():
    parrot = Parrot(["YES", "no", "The answer is Yes."])
    found = VlmJudge(parrot).judge(picture(size=(64, 64)), request("attributes_of_detected", instances=(CUP,)))
    assert found.answer == {"1": {"color": "yes", "texture": "no", "shape": "yes"}}
    assert all("a cup / mug" in text and "a tall red cup, glazed" in text for text, _ in parrot.heard)


def test_everything_can_be_asked_with_one_caption():
    parrot = Parrot(["Yes", "Yes", "The answer is Yes.", "yes.", "No"])
    found = VlmJudge(parrot).judge(picture(size=(64, 64)), request("attributes_by_caption"))
    assert found.answer == {
        "cat_1": {"spatial": "yes", "color": "yes", "texture": "unreadable", "shape": "yes"},
        "dog_1": {"spatial": "no", "color": "no", "texture": "no", "shape": "no"},
    }
    assert found.num_unreadable == 1
    assert all("a black cat" in text for text, _ in parrot.heard[:4])


@pytest.mark.parametrize("kind", ["attributes", "attributes_of_detected", "attributes_by_caption"])
def test_one_odd_reply_costs_one_question(kind: str):
    first = {"attributes_of_detected": ["perhaps", "Yes", "Yes"]}.get(kind, ["Yes", "perhaps", "Yes", "Yes"])
    parrot = Parrot(first * 2)
    both = (replace(CUP, caption="a cup"), replace(DOG, caption="a dog"))
    found = VlmJudge(parrot).judge(picture(size=(64, 64)), request(kind, instances=both))
    for name in ("1", "2"):
        assert found.answer[name]["color"] == "unreadable"
        assert (found.answer[name]["texture"], found.answer[name]["shape"]) == ("yes", "yes")
    assert found.num_unreadable == 2


def test_a_reply_that_is_refused_costs_one_question_and_a_time_out_the_picture():
    class Refusing(Parrot):
        def ask(self, text: str, picture: Image.Image) -> str:
            reply = super().ask(text, picture)
            if reply in ("refused", "timeout"):
                raise JudgementError(reply, "too small")
            return reply

    found = VlmJudge(Refusing(["refused", "Yes", "Yes", "Yes", "Yes"])).judge(
        picture(size=(64, 64)), request("attributes", instances=(CUP, DOG))
    )
    assert found.answer["1"] == {"spatial": "unreadable", "color": "no", "texture": "no", "shape": "no"}
    assert found.answer["2"]["shape"] == "yes"
    with pytest.raises(JudgementError, match="timeout"):
        VlmJudge(Refusing(["Yes", "timeout"])).judge(picture(), request("attributes", instances=(CUP,)))


def test_an_unreadable_reply_about_the_whole_picture_is_kept_with_the_error():
    with pytest.raises(JudgementError, match="unreadable") as error:
        VlmJudge(Parrot(["a cat"])).judge(picture(), request("detect"))
    assert error.value.reply == "a cat"


def test_captions_with_braces_and_quotes_do_not_break_the_question():
    texts = {"category": "{cat}", "caption": '"{0}" {caption}', "detail": "{detail}"}
    instance = DescribedInstance(name='{"x"}', box=(0, 0, 9, 9), **texts)
    for kind in ("detect", "entity", "attributes", "attributes_of_detected", "attributes_by_caption"):
        parrot = Parrot(["{}" if not kind.startswith("attributes") else "No"] * 3)
        VlmJudge(parrot).judge(picture(), request(kind, instances=(instance,)))
        assert "{cat}" in parrot.heard[0][0] or "{caption}" in parrot.heard[0][0]
