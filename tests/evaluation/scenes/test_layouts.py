"""The layouts of the benchmark: the same for everybody, as hard as their split says, and true."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from occlusionformer.data.splits import is_held_out_pair
from occlusionformer.data.world.captions import held_out_synonym, is_held_out_colour, training_synonyms
from occlusionformer.evaluation.scenes.coloured import coloured_art
from occlusionformer.evaluation.scenes.layouts import (
    HELD_OUT_EVERY,
    SPLITS,
    TIERS,
    BenchSeries,
    bench_scenes,
    draw_scene,
)
from occlusionformer.layout.difficulty import overlap

FEW = 9
PINNED = "3dc3ee2bcfbef413"
"""Of the layouts below: a change of it is a new benchmark, whose figures cannot be compared with the old ones."""


def every(limit: int = FEW):
    return [scene for split in SPLITS for scene in bench_scenes(split, limit)]


def test_the_layouts_are_those_that_figures_were_published_for():
    written = [[scene.key, scene.layout.model_dump(mode="json")] for scene in every()]
    assert hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16] == PINNED


def test_a_longer_list_begins_with_the_shorter_one():
    assert [scene.key for scene in bench_scenes("regular", 3)] == [scene.key for scene in bench_scenes("regular", 5)][
        :3
    ]
    assert BenchSeries("regular")[2].layout == bench_scenes("regular", 5)[2].layout


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_is_as_hard_as_it_says(split):
    least, most = TIERS[split]
    for scene in bench_scenes(split, FEW):
        assert least <= overlap(scene.layout.boxes).total_iou < most
        assert 1 <= len(scene.placed) <= 12
        assert (scene.layout.width, scene.layout.height) == (256, 256)


def test_held_out_layouts_show_pairs_and_colours_that_training_never_shows_and_the_others_do_not():
    coloured = {True: 0, False: 0}
    for number, scene in enumerate(bench_scenes("complex", 24)):
        found = [coloured_art().named(name) for name in scene.names]
        met = any(is_held_out_pair(one.item.name, other.item.name) for one in found for other in found)
        assert met == scene.held_out == (number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)
        for one in found:
            if one.colour is not None:
                coloured[scene.held_out] += 1
                assert is_held_out_colour(one.item.name, one.colour) == scene.held_out
    assert all(count > 3 for count in coloured.values())


def test_held_out_layouts_use_the_words_kept_from_training():
    def said(scene, item, caption):
        kept = held_out_synonym(item)
        allowed = {item.name, *training_synonyms(item)} if not scene.held_out or kept is None else {kept}
        return any(word in caption for word in allowed)

    for scene in every():
        for one, instance in zip(scene.placed, scene.layout.instances, strict=True):
            assert said(scene, one.item.item, instance.caption), (scene.key, one.item.name, instance.caption)
            assert one.item.colour is None or one.item.colour in instance.caption


def test_layout_declares_the_order_the_scene_is_rendered_in():
    for scene in every(3):
        assert tuple(reversed(scene.layout.zorder.front_to_back())) == scene.back_to_front


def test_where_a_pair_counts_the_one_in_front_is_what_the_picture_shows():
    for scene in bench_scenes("complex", 4):
        ranks = np.argsort(scene.back_to_front)
        for front, behind in np.argwhere(scene.truth.order == 1):
            assert ranks[front] > ranks[behind]
            common = scene.placed[front].mask & scene.placed[behind].mask
            assert common.sum() >= 64
            without = scene.render([place for place in scene.back_to_front if place != front])
            assert (without[common] != scene.render()[common]).any()


def test_a_pair_hidden_by_a_third_does_not_count():
    scene = next(one for one in bench_scenes("complex", 12) if (one.truth.order == -1).any())
    i, j = np.argwhere(scene.truth.order == -1)[0]
    assert scene.truth.order[j, i] == -1
    assert (scene.placed[i].mask & scene.placed[j].mask).any()
    assert (min(i, j), max(i, j)) not in scene.truth.pairs


@pytest.mark.parametrize("count", [1, 12, 24])
def test_scenes_can_be_asked_for_by_their_number_of_instances(count):
    scene = draw_scene(0, split="complex", held_out=False, key="x", instances=count)
    assert len(scene.layout.instances) == count


def test_scenes_can_be_asked_for_by_their_canvas():
    scene = draw_scene(0, split="complex", held_out=False, key="x", canvas=(320, 192))
    assert scene.render().shape == (192, 320, 3)
    assert (scene.layout.width, scene.layout.height) == (320, 192)


def test_shadows_are_part_of_the_picture_and_not_of_the_background():
    scene = next(one for one in bench_scenes("simple", 20) if any(item.shadow is not None for item in one.placed))
    shaded = next(item for item in scene.placed if item.shadow is not None)
    window, alpha = shaded.shadow
    free = ~np.any([item.mask for item in scene.placed], axis=0)[window] & (alpha[..., 0] > 0.1)
    assert (scene.render()[window][free] < scene.backdrop()[window][free]).any()
