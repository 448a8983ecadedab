"""Scenes are reproducible, and what they say about masks, boxes and order is exact."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.scenes import SceneDataset, SceneSamples, SceneSpec, make_scene
from occlusionformer.data.world.scene import Scene, scene_layout
from tests.clock import machine_slowness

SCENES = 60


def scenes(seed: int = 11, spec: SceneSpec | None = None, count: int = SCENES) -> list[Scene]:
    dataset = SceneDataset(seed, count, spec=spec or SceneSpec())
    return [dataset[index] for index in range(count)]


def fingerprint(seed: int, count: int) -> str:
    digest = hashlib.sha256()
    for scene in scenes(seed, count=count):
        digest.update(scene.image.tobytes())
        digest.update(repr((scene.prompt, scene.back_to_front)).encode())
        for item in scene.instances:
            digest.update(repr((item.name, item.caption, item.box)).encode())
            digest.update(item.amodal.tobytes() + item.visible.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_another_process_draws_the_same_scenes(hash_seed):
    program = "from tests.data.test_scenes import fingerprint; print(fingerprint(5, 12))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(["src", "."])}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == fingerprint(5, 12)


def test_a_scene_does_not_depend_on_the_ones_drawn_before():
    dataset = SceneDataset(3, 100)
    late = dataset[70]
    assert (make_scene(70, seed=3, spec=SceneSpec(), art=packaged_art()).image == late.image).all()
    for index in (4, 99, 70):
        again = dataset[index]
    assert (again.image == late.image).all()


def test_a_dataset_survives_pickling_to_a_worker():
    dataset = SceneDataset(3, 10)
    copy = pickle.loads(pickle.dumps(dataset))
    assert (copy[7].image == dataset[7].image).all()


def test_seed_and_index_both_matter():
    images = {
        make_scene(i, seed=s, spec=SceneSpec(), art=packaged_art()).image.tobytes() for i in (0, 1) for s in (0, 1)
    }
    assert len(images) == 4


def test_visible_is_amodal_less_everything_in_front():
    for scene in scenes():
        for position, item in enumerate(scene.instances):
            in_front = scene.back_to_front[scene.back_to_front.index(position) + 1 :]
            hidden = np.zeros_like(item.amodal)
            for other in in_front:
                hidden |= scene.instances[other].amodal
            assert (item.visible == (item.amodal & ~hidden)).all()


def test_visible_masks_partition_what_is_covered():
    for scene in scenes():
        visible = sum(item.visible.astype(int) for item in scene.instances)
        covered = np.any([item.amodal for item in scene.instances], axis=0)
        assert (visible == covered).all()


def test_boxes_are_tight():
    for scene in scenes():
        height, width = scene.image.shape[:2]
        for item in scene.instances:
            x1, y1, x2, y2 = (edge * side for edge, side in zip(item.box, (width, height) * 2, strict=True))
            inside = item.amodal[round(y1) : round(y2), round(x1) : round(x2)]
            assert inside.sum() == item.amodal.sum()
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_every_instance_keeps_a_quarter_in_sight():
    for scene in scenes(count=200):
        for item in scene.instances:
            assert item.visible.sum() >= 0.25 * item.amodal.sum()


def test_order_is_total_and_says_nothing_about_position():
    drawn = scenes(count=150)
    assert all(sorted(scene.back_to_front) == list(range(len(scene.instances))) for scene in drawn)
    many = [scene for scene in drawn if len(scene.instances) > 1]
    first_is_farthest = np.mean([scene.back_to_front[0] == 0 for scene in many])
    assert 0.1 < first_is_farthest < 0.6


def test_number_of_instances_spans_the_range():
    counts = {len(scene.instances) for scene in scenes(spec=SceneSpec(min_instances=2, max_instances=4))}
    assert counts == {2, 3, 4}


def test_overlaps_range_from_none_to_heavy():
    hidden = []
    for scene in scenes(count=200):
        if len(scene.instances) > 1:
            hidden.append(max(1 - item.visible.sum() / item.amodal.sum() for item in scene.instances))
    shares = [np.mean(np.array(hidden) == 0), np.mean(np.array(hidden) > 0.2), np.mean(np.array(hidden) > 0.5)]
    assert shares[0] > 0.05
    assert shares[1] > 0.4
    assert shares[2] > 0.1


def test_duplicates_are_rare_and_can_be_forced():
    def share(duplicates: float) -> float:
        drawn = scenes(spec=SceneSpec(size=32, min_instances=3, duplicates=duplicates), count=150)
        return float(np.mean([len({item.name for item in scene.instances}) < len(scene.instances) for scene in drawn]))

    assert share(0.0) == 0.0
    assert share(1.0) == 1.0
    assert SceneSpec().duplicates <= 0.05


@pytest.mark.parametrize("size", [64, 192])
def test_other_sizes(size):
    scene = make_scene(1, seed=0, spec=SceneSpec(size=size), art=packaged_art())
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.instances[0].amodal.shape == (size, size)


def test_layout_says_what_the_scene_is():
    for scene in scenes(count=30):
        layout = scene_layout(scene)
        assert layout.prompt == scene.prompt
        assert (layout.width, layout.height) == (128, 128)
        assert [item.caption for item in layout.instances] == [item.caption for item in scene.instances]
        for item, drawn in zip(layout.instances, scene.instances, strict=True):
            assert (item.box.x1, item.box.y1, item.box.x2, item.box.y2) == drawn.box
        assert layout.zorder is not None
        for rank, position in enumerate(scene.back_to_front):
            assert layout.zorder.occluders(position) == frozenset(scene.back_to_front[rank + 1 :])


def test_batch_lines_instances_up_with_their_scenes():
    dataset = SceneDataset(2, 50)
    batch = dataset.batch([4, 9, 30])
    assert batch.images.shape == (3, 128, 128, 3)
    position = 0
    for number, index in enumerate([4, 9, 30]):
        scene = dataset[index]
        assert (batch.images[number] == scene.image).all()
        assert batch.prompts[number] == scene.prompt
        for own, item in enumerate(scene.instances):
            assert batch.scene_index[position] == number
            assert batch.captions[position] == item.caption
            assert (batch.amodal[position] == item.amodal).all()
            assert (batch.visible[position] == item.visible).all()
            np.testing.assert_array_equal(batch.boxes[position], np.float32(item.box))
            assert scene.back_to_front[batch.depth_rank[position]] == own
            position += 1
    assert position == len(batch.captions)


def test_index_outside_the_dataset_is_refused():
    with pytest.raises(IndexError, match="expected 0 to 9, got 10"):
        SceneDataset(0, 10)[10]


def test_all_problems_of_a_spec_are_reported_at_once():
    with pytest.raises(ValueError, match="size: expected 16 to 4096, got 4") as failure:
        SceneSpec(size=4, max_instances=2, min_instances=3, min_visible=1.5)
    assert str(failure.value).splitlines() == [
        "size: expected 16 to 4096, got 4",
        "min_instances: expected 1 to 2, got 3",
        "min_visible: expected 0 to 1, got 1.5",
    ]


def test_scenes_are_drawn_fast_enough_to_feed_training():
    dataset = SceneDataset(0, 1000)
    dataset[0]
    best = 0.0
    for start in (0, 60, 120):
        begin = time.process_time()
        for index in range(start, start + 60):
            dataset[index]
        best = max(best, 60 / (time.process_time() - begin))
    # About 210 a second of one core's time; the floor allows for a busy machine.
    assert best * machine_slowness() > 60


def test_keys_of_samples_name_seed_and_index():
    scenes = SceneDataset(5, 4, spec=SceneSpec(size=32))
    samples = SceneSamples(scenes)
    assert (len(samples), samples[3].key) == (4, "scene-5-3")
    assert (samples[3].image == scenes[3].image).all()
