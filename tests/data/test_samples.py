"""Samples keep what the scene knows, and say what does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from occlusionformer.data.samples import WorldSamples, sample_layout, sample_of_scene
from occlusionformer.data.world.scene import scene_layout
from occlusionformer.data.world.scenes import WorldDataset, WorldSpec

SCENES = WorldDataset(seed=5, length=20, spec=WorldSpec(width=80, height=64, min_instances=2, max_instances=12))


def test_a_scene_and_its_sample_ask_for_the_same_picture():
    for index in range(10):
        scene = SCENES[index]
        asked, wanted = sample_layout(sample_of_scene(scene, "key")), scene_layout(scene)
        assert asked.zorder == wanted.zorder
        assert [item.caption for item in asked.instances] == [item.caption for item in wanted.instances]
        np.testing.assert_allclose(
            [(i.box.x1, i.box.y1, i.box.x2, i.box.y2) for i in asked.instances],
            [(i.box.x1, i.box.y1, i.box.x2, i.box.y2) for i in wanted.instances],
            atol=1e-7,
        )


def test_the_one_in_front_is_seen_where_two_overlap():
    compared = 0
    for index in range(len(SCENES)):
        sample = sample_of_scene(SCENES[index], "key")
        for front, behind in np.argwhere(sample.in_front):
            shared = sample.amodal[front] & sample.amodal[behind]
            assert not (sample.visible[behind] & shared).any()
            compared += int(shared.sum())
    assert compared > 1000


def test_keys_name_seed_canvas_and_index():
    samples = WorldSamples(SCENES.seed, len(SCENES), SCENES.spec)
    assert len(samples) == 20
    assert samples[3].key == "world-5-64x80-3"
    np.testing.assert_array_equal(samples[3].image, SCENES[3].image)


def test_everything_that_does_not_fit_is_said_at_once():
    sample = sample_of_scene(SCENES[0], "key")
    with pytest.raises(ValueError, match="key: image") as caught:
        replace(
            sample, image=sample.image.astype(float), boxes=sample.boxes[:1], amodal=sample.amodal[:, :8], in_front=None
        )
    assert [line.split(" ")[1] for line in str(caught.value).splitlines()] == ["image:", "boxes:", "amodal:"]
