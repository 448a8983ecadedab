"""Records as samples, scenes and layouts: the same pixels, boxes and relations on the other side."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from occlusionformer.data.records import (
    DataSetMaker,
    RecordOrigin,
    RecordSource,
    bare,
    decode_image,
    layout_of_record,
    record_of_sample,
    sample_of_record,
    scene_items,
    scene_of_record,
)
from occlusionformer.data.samples import sample_of_scene
from occlusionformer.data.world.scenes import WorldDataset, WorldSpec
from tests.data.records.examples import HEIGHT, WIDTH, data_set, picture, record

SCENES = WorldDataset(seed=2, length=6, spec=WorldSpec(width=80, height=64))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "set"
    DataSetMaker(folder, records_per_shard=4).make(scene_items(SCENES))
    return folder


def test_scenes_survive(scenes: Path):
    source = RecordSource(scenes)
    for number, expected in enumerate(SCENES[place] for place in range(len(SCENES))):
        found, image = source.records.item(number)
        scene = scene_of_record(found, decode_image(found, image))
        assert np.array_equal(scene.image, expected.image)
        assert (scene.prompt, scene.back_to_front) == (expected.prompt, expected.back_to_front)
        for mine, theirs in zip(scene.instances, expected.instances, strict=True):
            assert (mine.name, mine.caption, mine.box) == (theirs.name, theirs.caption, theirs.box)
            assert np.array_equal(mine.amodal, theirs.amodal)
            assert np.array_equal(mine.visible, theirs.visible)


def test_samples_with_amodal_masks_are_those_of_the_scenes(scenes: Path):
    source = RecordSource(scenes, masks="amodal")
    assert len(source) == len(SCENES)
    for number in range(len(SCENES)):
        found, expected = source[number], sample_of_scene(SCENES[number], f"scene-2-{number}")
        for name in ("image", "boxes", "amodal", "visible"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))
        assert (found.key, found.prompt, found.captions) == (expected.key, expected.prompt, expected.captions)
        touch = np.einsum("ihw,jhw->ij", expected.amodal.astype(int), expected.amodal.astype(int)) > 0
        assert np.array_equal(found.in_front, expected.in_front & touch)


def test_samples_with_visible_masks_know_nothing_hidden(scenes: Path):
    source = RecordSource(scenes, masks="visible")
    for number in range(len(SCENES)):
        found = source[number]
        assert found.amodal is None
        for mask_HW, box in zip(found.visible, found.boxes, strict=True):
            rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
            assert np.allclose(box * (80, 64, 80, 64), (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))


def test_shapes_are_known_without_reading_samples(scenes: Path):
    source = pickle.loads(pickle.dumps(RecordSource(scenes)))
    for number in range(len(source)):
        shape = source.shape_of(number)
        assert (shape.width, shape.height, shape.instances) == (80, 64, len(source[number].captions))


def test_amodal_masks_that_are_not_known_are_asked_for(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^one: instances\[0\]\.amodal_mask: expected a mask, got null$"):
        sample_of_record(bare(record("one")), decode_image(record(), picture()))
    sample = sample_of_record(bare(record("one")), decode_image(record(), picture()), masks="visible")
    assert sample.in_front is None
    with pytest.raises(ValueError, match=r"^masks: expected amodal or visible, got 'both'$"):
        RecordSource(tmp_path, masks="both")


def test_unknown_entries_are_no_relation():
    sample = sample_of_record(record(), decode_image(record(), picture()))
    assert np.argwhere(sample.in_front).tolist() == [[0, 1]]


def test_boxes_are_cut_to_the_picture():
    wide = replace(record().instances[0], amodal_box=(-6.0, 2.0, 10.0, 32.0))
    sample = sample_of_record(
        replace(record(), instances=(wide, *record().instances[1:])), decode_image(record(), picture())
    )
    assert np.allclose(sample.boxes[0], (0, 2 / HEIGHT, 10 / WIDTH, 1))


def test_pictures_are_found_in_a_folder(tmp_path: Path):
    folder = data_set(tmp_path / "set", pictures=False)
    (tmp_path / "root" / "images").mkdir(parents=True)
    (tmp_path / "root" / "images" / "two.png").write_bytes(picture(5))
    source = RecordSource(folder, image_root=tmp_path / "root")
    assert np.array_equal(source[1].image, decode_image(record(), picture(5)))
    with pytest.raises(ValueError, match=r"^one: image_path: expected a file in .*, got 'images/one\.png'$"):
        source[0]
    with pytest.raises(ValueError, match="image_file: expected a picture in the tar, got null; image_root names"):
        RecordSource(folder)[0]


def test_a_sample_becomes_a_record_and_comes_back():
    sample = sample_of_record(record(), decode_image(record(), picture()))
    made = record_of_sample(sample, RecordOrigin(dataset="test"))
    again = sample_of_record(made, sample.image)
    for name in ("boxes", "amodal", "visible", "in_front"):
        assert np.array_equal(getattr(again, name), getattr(sample, name))


def test_layouts_have_the_order_and_the_masks():
    layout = layout_of_record(record())
    assert [each.id for each in layout.instances] == ["7", "8", "9"]
    assert layout.zorder is not None
    assert layout.zorder.edges == {(0, 1)}
    assert layout.instances[1].region.size == (HEIGHT, WIDTH)
    assert layout_of_record(replace(record(), order=None)).zorder is None


def test_scenes_need_everything():
    with pytest.raises(ValueError, match="amodal_mask: expected a mask") as caught:
        scene_of_record(bare(record()), decode_image(record(), picture()))
    assert str(caught.value).splitlines()[-1] == "one: depth: expected every two instances at different depths"
