"""Stages that ask models: recorded answers go in, and come out in the record as they should."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from occlusionformer.data.engine.item import Item
from occlusionformer.data.engine.plan import AmodalPlan, CaptionPlan, OrderPlan
from occlusionformer.data.engine.running import run_stage
from occlusionformer.data.engine.stages import make_stage, shortened
from occlusionformer.data.records import decode_masks, encode_mask
from tests.data.engine.pictures import item_of, rectangle

LEFT, RIGHT, APART = rectangle(2, 2, 12, 20), rectangle(12, 2, 22, 20), rectangle(27, 2, 31, 9)


def recorded(folder: Path, *answers: dict[str, Any]) -> str:
    path = folder / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(answer)}\n" for answer in answers))
    return f"recorded:{path}"


def run(plan: Any, items: Sequence[Item], batch_size: int = 4) -> list[Item]:
    stage = make_stage(plan)
    stage.setup()
    return run_stage(stage, plan.stage, items, batch_size=batch_size)


def test_the_order_goes_from_the_row_to_the_column(tmp_path: Path):
    model = recorded(tmp_path, {"key": "k", "order": [["b", "a", 0.9], ["a", "b", 0.2], ["c", "a", 1.0]]})
    (done,) = run(OrderPlan(model=model), [item_of(LEFT, RIGHT, APART, key="k")])
    record = done.known()
    assert record.order == ((0, 0, 0), (1, 0, 0), (0, 0, 0))
    assert record.order_confidence == ((1.0, 0.8, 1.0), (0.9, 1.0, 1.0), (1.0, 1.0, 1.0))
    (step,) = record.provenance.steps
    assert (step.stage, step.model) == ("order", model)
    assert len(step.revision) == 12


def test_both_may_be_in_front_of_each_other(tmp_path: Path):
    model = recorded(tmp_path, {"key": "k", "order": [["b", "a", 0.9], ["a", "b", 0.7]]})
    (done,) = run(OrderPlan(model=model), [item_of(LEFT, RIGHT, key="k")])
    assert done.known().order == ((0, 1), (1, 0))


def whole_masks(tmp_path: Path, *, confine: bool) -> tuple[Item, np.ndarray]:
    """a is behind b; the model lets it go on under b, and also where everybody would see it."""
    claimed = rectangle(6, 2, 16, 24)
    model = recorded(
        tmp_path,
        {"key": "k", "order": [["b", "a", 0.9]], "amodal": {"a": encode_mask(claimed).coco()}},
    )
    items = run(OrderPlan(model=model), [item_of(LEFT, RIGHT, key="k")])
    (done,) = run(AmodalPlan(model=model, confine=confine), items)
    masks = [instance.amodal_mask for instance in done.known().instances]
    return done, decode_masks([mask for mask in masks if mask is not None])


def test_hidden_parts_lie_under_what_is_in_front(tmp_path: Path):
    done, masks = whole_masks(tmp_path, confine=True)
    np.testing.assert_array_equal(masks[0], rectangle(2, 2, 16, 20))
    np.testing.assert_array_equal(masks[1], RIGHT)
    assert done.known().instances[0].amodal_box == (2, 2, 16, 20)
    assert json.loads(done.known().instances[0].extra) == {"visible_recall": 0.6}


def test_or_anywhere_when_the_plan_says_so(tmp_path: Path):
    _, masks = whole_masks(tmp_path, confine=False)
    np.testing.assert_array_equal(masks[0], LEFT | rectangle(6, 2, 16, 24))


def test_captions_are_put_on_one_line(tmp_path: Path):
    model = recorded(tmp_path, {"key": "k", "captions": {"a": "a red\n  cup. It stands.", "b": "b"}})
    (done,) = run(CaptionPlan(model=model, longest=12), [item_of(LEFT, RIGHT, key="k")])
    assert [instance.caption for instance in done.known().instances] == ["a red cup.", "b"]


@pytest.mark.parametrize(
    ("text", "longest", "expected"),
    [("one two", 7, "one two"), ("one two three", 8, "one two"), ("unbroken", 3, "unb"), ("A b. C d.", 6, "A b.")],
)
def test_long_captions_end_with_a_sentence_or_a_word(text: str, longest: int, expected: str):
    assert shortened(text, longest) == expected


def test_one_broken_picture_does_not_take_its_batch_with_it(tmp_path: Path):
    model = recorded(tmp_path, *({"key": key, "captions": {"a": key}} for key in ("k0", "k2")))
    items = [item_of(LEFT, key=f"k{place}") for place in range(3)]
    done = run(CaptionPlan(model=model), items)
    assert [item.key for item in done] == ["k0", "k1", "k2"]
    assert [item.known().instances[0].caption for item in done] == ["k0", "", "k2"]
    assert done[1].failure is not None
    assert done[1].failure.reason == "ValueError: expected recorded captions of k1, got none"
    assert (done[0].failure, done[2].failure) == (None, None)


def test_whole_masks_need_an_order(tmp_path: Path):
    model = recorded(tmp_path)
    (done,) = run(AmodalPlan(model=model), [item_of(LEFT, RIGHT)])
    assert done.failure is not None
    assert "order: expected one before whole masks are asked for, got none" in done.failure.reason


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"expected a captioner, got .pair-network., which is none"):
        make_stage(CaptionPlan(model="pair-network")).setup()
    with pytest.raises(ValueError, match=r"model: expected one of \(completion-network, .*got 'nobody'"):
        make_stage(CaptionPlan(model="nobody")).setup()
