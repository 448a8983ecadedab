"""Contradictions put right, and pictures that are not wanted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from occlusionformer.data.engine.cleaning import IMPLIED, CleanStage, unlooped
from occlusionformer.data.engine.filters import FilterStage
from occlusionformer.data.engine.item import Item
from occlusionformer.data.engine.plan import CleanPlan, FilterPlan
from occlusionformer.data.engine.stages import with_order
from occlusionformer.data.records import encode_mask
from occlusionformer.layout import ZOrder
from tests.data.engine.pictures import item_of, rectangle
from tests.tables import for_each


def ordered(item: Item, chances: dict[tuple[int, int], float], amodal: list[np.ndarray] | None = None) -> Item:
    count = len(item.known().instances)
    chance = np.zeros((count, count))
    for pair, value in chances.items():
        chance[pair] = value
    record = with_order(item.known(), chance > 0.5, chance)
    if amodal is not None:
        instances = zip(record.instances, amodal, strict=True)
        record = replace(
            record, instances=tuple(replace(each, amodal_mask=encode_mask(mask)) for each, mask in instances)
        )
    return replace(item, record=record)


def cleaned(item: Item, **settings: object) -> Item:
    stage = CleanStage(CleanPlan.model_validate(settings))
    stage.setup()
    (done,) = stage([item])
    return done


def filtered(item: Item, **settings: object) -> Item:
    stage = FilterStage(FilterPlan.model_validate(settings))
    stage.setup()
    (done,) = stage([item])
    return done


def edges(item: Item) -> set[tuple[str, str]]:
    names = [instance.id for instance in item.known().instances]
    return {(names[front], names[behind]) for front, behind in item.known().edges}


def test_scraps_and_doubles_go_and_the_order_follows():
    item = item_of(
        rectangle(0, 0, 10, 10),
        rectangle(20, 20, 21, 21),
        rectangle(0, 0, 10, 9),
        rectangle(12, 0, 20, 10),
        rectangle(24, 4, 25, 20),
    )
    done = cleaned(ordered(item, {(0, 3): 0.9, (2, 3): 0.8, (3, 1): 0.7}), min_side=0.04, duplicate_iou=0.85)
    assert [instance.id for instance in done.known().instances] == ["a", "d"]
    assert edges(done) == {("a", "d")}
    assert {(removal.instance, removal.reason) for removal in done.removals} == {
        ("b", "tiny"),
        ("c", "duplicate"),
        ("e", "tiny"),
    }


def test_the_least_sure_relation_of_a_loop_goes():
    item = item_of(rectangle(0, 0, 10, 10), rectangle(10, 0, 20, 10), rectangle(0, 10, 20, 20))
    looping = ordered(item, {(0, 1): 0.9, (1, 2): 0.6, (2, 0): 0.8})
    assert edges(cleaned(looping)) == {("a", "b"), ("c", "a")}
    assert edges(cleaned(looping, cycles="keep")) == {("a", "b"), ("b", "c"), ("c", "a")}
    mutual = ordered(item, {(0, 1): 0.7, (1, 0): 0.8})
    assert edges(cleaned(mutual)) == {("b", "a")}


@for_each("seed", range(10))
def test_nothing_loops_once_loops_are_broken_and_nothing_else_is_lost(seed: int):
    rng = np.random.default_rng(seed)
    in_front, sure = rng.random((7, 7)) < 0.4, rng.random((7, 7))
    np.fill_diagonal(in_front, False)
    kept = unlooped(in_front, sure)
    assert not ZOrder(7, [(int(i), int(j)) for i, j in np.argwhere(kept)]).cycles()
    assert not (kept & ~in_front).any()
    if not ZOrder(7, [(int(i), int(j)) for i, j in np.argwhere(in_front)]).cycles():
        np.testing.assert_array_equal(kept, in_front)


def test_the_order_agrees_with_what_the_whole_masks_share():
    """a over b over c; the whole c reaches under a, which nobody judged, and the whole d under nobody."""
    visible = [rectangle(0, 0, 8, 8), rectangle(8, 0, 16, 8), rectangle(16, 0, 24, 8), rectangle(0, 8, 8, 16)]
    whole = [visible[0], rectangle(6, 0, 16, 8), rectangle(5, 0, 24, 8), visible[3]]
    item = ordered(item_of(*visible), {(0, 1): 0.9, (1, 2): 0.8, (0, 3): 0.7}, whole)
    done = cleaned(item)
    assert edges(done) == {("a", "b"), ("b", "c"), ("a", "c")}
    assert done.known().order_confidence is not None
    assert done.known().order_confidence[0] == (1.0, 0.9, IMPLIED, 0.3)


def test_whole_masks_that_cannot_be_are_not_wanted():
    visible = [rectangle(0, 0, 4, 4), rectangle(10, 0, 20, 10), rectangle(20, 0, 30, 10), rectangle(0, 20, 9, 30)]
    whole = [rectangle(0, 0, 12, 16), visible[1], rectangle(15, 0, 30, 10), visible[3]]
    item = ordered(item_of(*visible), {(1, 2): 0.9}, whole)
    instances = list(item.known().instances)
    instances[3] = replace(instances[3], extra=json.dumps({"visible_recall": 0.5}))
    item = replace(item, record=replace(item.known(), instances=tuple(instances)))
    done = filtered(item)
    assert [instance.id for instance in done.known().instances] == ["b", "c"]
    assert {(removal.instance, removal.reason) for removal in done.removals} == {
        ("a", "whole mask grows although nobody is in front"),
        ("d", "whole mask misses the visible part"),
    }


@pytest.mark.parametrize(("least", "most"), [(3, 9), (1, 1)])
def test_pictures_with_too_few_or_too_many_instances_are_given_up_but_not_broken(least: int, most: int):
    done = filtered(item_of(rectangle(0, 0, 4, 4), rectangle(9, 9, 20, 20)), min_instances=least, max_instances=most)
    assert done.failure is not None
    assert (done.failure.kind, done.failure.reason) == ("filtered", f"instances: expected {least} to {most}, got 2")
