"""Validation: every seeded fault is found in its place, and nothing is found in what is right."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from occlusionformer.data.records import (
    DataSetMaker,
    RecordWriter,
    check_folder,
    check_record,
    scene_items,
    write_shard,
)
from occlusionformer.data.world import artwork
from occlusionformer.data.world.scenes import WorldDataset, WorldSpec
from occlusionformer.layout.problems import path_text
from tests.data.records.examples import data_set, picture, record, with_instance
from tests.data.records.faults import FAULTS, SHARD, TAR, Fault
from tests.tables import for_each

EVERYTHING = ("prompt", "captions", "visible", "amodal", "order", "depth", "images")


def lines(folder: Path, **options) -> list[str]:
    return [str(violation) for violation in check_folder(folder, **options)]


def test_there_are_many_kinds_of_faults():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 70


@for_each("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_in_its_place_and_nothing_else(tmp_path: Path, fault: Fault):
    folder = tmp_path / "set"
    fault.make(folder)
    found = list(check_folder(folder))
    assert len(found) == 1, [str(violation) for violation in found]
    (violation,) = found
    assert violation.file == fault.file
    assert (violation.record[0] if violation.record else None) == fault.row
    assert path_text(violation.problem.path) == fault.field
    assert fault.expected in violation.problem.text
    assert str(violation).startswith(f"{fault.file}: record {fault.row} (" if fault.row is not None else fault.file)


def test_all_faults_of_all_records_come_at_once(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    first = with_instance(record("three"), 1, replace(record().instances[1], caption="", id="7"))
    write_shard(
        folder / SHARD, [(replace(first, prompt="\0"), picture(1)), (replace(record("four"), extra="1"), picture(1))]
    )
    assert lines(folder) == [
        f"{SHARD}: record 0 ('three'): prompt: expected text without NUL, got '\\x00'",
        f"{SHARD}: record 0 ('three'): instances[1].caption: expected a caption, got nothing",
        f"{SHARD}: record 0 ('three'): instances[1].id: expected an id of its own, got '7' again",
        f"{SHARD}: record 1 ('four'): extra: expected a JSON object, got '1'",
    ]


@pytest.mark.parametrize("pictures", [True, False])
def test_clean_data_raise_no_alarm(tmp_path: Path, pictures: bool):
    folder = data_set(tmp_path / "set", pictures=pictures)
    assert lines(folder, require=[name for name in EVERYTHING if pictures or name != "images"]) == []


def test_scenes_raise_no_alarm(tmp_path: Path):
    scenes = WorldDataset(seed=5, length=60, spec=WorldSpec(width=128, height=96))
    DataSetMaker(tmp_path / "set", records_per_shard=25).make(scene_items(scenes))
    assert lines(tmp_path / "set", require=EVERYTHING) == []
    drawn, _ = next(iter(scene_items(scenes)))
    terms = (Path(artwork.__file__).parent / "art" / "LICENSE-fluent-emoji").read_text(encoding="utf-8")
    assert f"\n{drawn.provenance.license} License\n" in terms, "the licence of a drawn scene is that of its art"


def test_what_is_required_is_missed(tmp_path: Path):
    full = record("a")
    bare = replace(full.instances[0], caption="", visible_mask=None, amodal_mask=None)
    little = replace(full, prompt="", instances=(bare,), order=None, order_confidence=None, depth=None)
    with RecordWriter(tmp_path) as writer:
        writer.add(replace(little, depth_confidence=None))
    assert lines(tmp_path, require=()) == []
    at = "data/train-00000.parquet: record 0 ('a'): "
    assert lines(tmp_path, require=EVERYTHING) == [
        f"{at}prompt: expected a description, got nothing",
        f"{at}image_file: expected a picture, got null",
        f"{at}order: expected a matrix, got null",
        f"{at}depth: expected a matrix, got null",
        f"{at}instances[0].caption: expected a caption, got nothing",
        f"{at}instances[0].visible_mask: expected a mask, got null",
        f"{at}instances[0].amodal_mask: expected a mask, got null",
    ]
    with pytest.raises(ValueError, match=r"^require: expected prompt, captions, .* got masks$"):
        check_record(little, require=["masks"])


def test_a_record_without_instances(tmp_path: Path):
    empty = replace(record(), instances=(), order=(), depth=(), order_confidence=(), depth_confidence=())
    assert [str(problem) for problem in check_record(empty)] == ["instances: expected at least one instance, got none"]


@pytest.mark.parametrize("name", ["width", "height"])
def test_a_picture_without_a_side(name: str):
    """Everything measured against it is wrong as well."""
    problems = [str(problem) for problem in check_record(replace(record(), **{name: 0}))]
    assert problems[0] == f"{name}: expected 1 to 65535, got 0"


def test_the_same_picture_twice(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    write_shard(folder / SHARD, [(record("three"), picture(1)), (record("one"), picture(1))])
    assert lines(folder) == [
        f"{SHARD}: record 1 ('one'): image_id: expected an id of its own, got that of data/train-00000.parquet: "
        "record 0 again"
    ]


def test_a_lost_tar_is_told_for_every_picture(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    (folder / TAR).unlink()
    assert lines(folder) == [
        f"{TAR}: expected the tar of this shard, got none",
        f"{SHARD}: record 0 ('three'): image_file: expected a picture in the tar, got 'three.png'",
        f"{SHARD}: record 1 ('four'): image_file: expected a picture in the tar, got 'four.png'",
    ]


def test_a_lost_shard(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    shutil.copy(folder / SHARD, folder / "data" / "train-00003.parquet")
    shutil.copy(folder / TAR, folder / "data" / "train-00003.tar")
    (folder / SHARD).unlink()
    (folder / TAR).unlink()
    missing = "expected this shard before train-00003.parquet, got none"
    assert lines(folder) == [f"data/train-0000{number}.parquet: {missing}" for number in (1, 2)]


def test_the_tar_of_another_shard(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    shutil.copy(folder / "data" / "train-00000.tar", folder / TAR)
    found = lines(folder)
    assert found[0].startswith(f"{TAR}: expected contents with the SHA-256")
    assert f"{TAR}: ['one.png']: expected only pictures that a record names" in found
    assert found[-1] == f"{SHARD}: record 1 ('four'): image_file: expected a picture in the tar, got 'four.png'"


def test_pictures_that_are_damaged_or_of_another_size(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    larger = replace(record("four"), width=30)
    write_shard(folder / SHARD, [(record("three"), picture(1)[:60]), (larger, picture(1))])
    found = lines(folder)
    assert found[0].startswith(f"{SHARD}: record 0 ('three'): image_file: expected a whole PNG file: ")
    assert found[-1] == f"{SHARD}: record 1 ('four'): image_file: expected 30 x 16 pixels, got 24 x 16"
    quick = lines(folder, look_at_images=False)
    assert not any("expected a picture: " in line for line in quick)


def test_an_empty_folder(tmp_path: Path):
    (tmp_path / "data").mkdir()
    assert lines(tmp_path) == ["data: expected files SPLIT-NUMBER.parquet, got none"]


def test_statistics_are_checked_only_when_all_shards_can_be_read(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    assert json.loads((folder / "statistics.json").read_text())["records"] == 4
    (folder / SHARD).write_bytes(b"junk")
    assert len(lines(folder)) == 1
