"""Changed layouts change what they say they change, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.evaluation.scenes.layouts import bench_scenes
from occlusionformer.evaluation.scenes.variants import (
    with_loop,
    with_moved_boxes,
    with_swapped_pair,
    with_wrong_order,
    without_order,
)
from occlusionformer.layout.box import overlapping_pairs
from tests.tables import for_each


@pytest.fixture(scope="module", params=range(4))
def scene(request):
    return bench_scenes("complex", 4)[request.param]


def relations(layout):
    boxes = set(overlapping_pairs(layout.boxes))
    return {pair for pair in layout.zorder.edges if tuple(sorted(pair)) in boxes}


@for_each("share", [0.0, 0.1, 0.25, 0.5, 1.0])
def test_the_share_of_wrong_relations_is_as_asked(scene, share):
    changed = with_wrong_order(scene, share, np.random.default_rng(0))
    before, after = relations(scene.layout), relations(changed.scene.layout)
    assert {tuple(sorted(pair)) for pair in before} == {tuple(sorted(pair)) for pair in after}
    assert len(before - after) == round(share * len(before))
    assert changed.scene.layout.boxes == scene.layout.boxes
    for i, j in scene.truth.pairs:
        assert changed.declared.order[i, j] == ((i, j) in after)


def test_a_loop_is_a_loop_of_three(scene):
    changed = with_loop(scene)
    assert changed is not None
    cycles = changed.scene.layout.zorder.cycles()
    assert cycles
    before, after = relations(scene.layout), relations(changed.scene.layout)
    assert 1 <= len(after - before) <= 2


def test_a_scene_of_two_has_no_loop():
    two = next(one for one in bench_scenes("simple", 9) if len(one.placed) == 2)
    assert with_loop(two) is None


def test_no_order_is_none(scene):
    assert without_order(scene).scene.layout.zorder is None
    assert without_order(scene).scene.layout.instances == scene.layout.instances


@for_each("amount", [0.05, 0.1])
def test_boxes_move_by_no_more_than_asked(scene, amount):
    changed = with_moved_boxes(scene, amount, np.random.default_rng(0)).scene.layout
    assert changed.zorder == scene.layout.zorder
    for before, after in zip(scene.layout.boxes, changed.boxes, strict=True):
        sides = np.array([before.width, before.height] * 2)
        moved = np.abs(np.array(tuple(after)) - np.array(tuple(before)))
        assert (moved <= amount * sides + 1e-9).all()
        assert moved.any()


def test_a_swap_changes_one_relation_alone():
    found = [with_swapped_pair(one) for one in bench_scenes("complex", 6)]
    pairs = [(scene, *swap) for scene, swap in zip(bench_scenes("complex", 6), found, strict=True) if swap is not None]
    assert pairs
    for scene, changed, (front, behind) in pairs:
        before, after = relations(scene.layout), relations(changed.scene.layout)
        assert before - after == {(front, behind)}
        assert after - before == {(behind, front)}
        assert changed.declared.order[behind, front] == 1
        rendered, other = scene.render(), changed.scene.render()
        outside = ~(scene.placed[front].mask | scene.placed[behind].mask)
        assert np.abs(rendered.astype(int) - other)[outside].mean() < 1
