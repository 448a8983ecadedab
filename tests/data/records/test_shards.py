"""Shards: everything survives, equal contents make equal bytes, and nobody sees half of one."""

from __future__ import annotations

import hashlib
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from occlusionformer.data.records import (
    Mask,
    Record,
    RecordFolder,
    RecordShard,
    RecordSource,
    RecordWriter,
    check_folder,
    from_plain,
    record_schema,
    statistics_of,
    to_plain,
    write_shard,
)
from occlusionformer.data.records.columns import schema
from occlusionformer.data.records.folder import OPEN_SHARDS
from occlusionformer.data.records.shards import RECORDS_PER_GROUP
from tests.data.records.examples import data_set, picture, record, with_instance
from tests.tables import for_each


def sparse(image_id: str) -> Record:
    """As little as a record can say."""
    full = record(image_id)
    bare = replace(full.instances[0], category=None, visible_mask=None, amodal_mask=None, amodal_box=None, extra="{}")
    return replace(
        full,
        prompt="",
        instances=(bare, full.instances[1]),
        order=None,
        order_confidence=None,
        depth=None,
        depth_confidence=None,
        image_path=None,
    )


def test_records_and_pictures_survive(tmp_path: Path):
    items = [(record("a"), picture(1)), (sparse("b"), None), (record("c.d/é"), picture(2))]
    assert write_shard(tmp_path / "train-00000.parquet", items) == 3
    shard = RecordShard(tmp_path / "train-00000.parquet")
    read = list(shard.items())
    assert [image for _, image in read] == [image for _, image in items]
    for (found, _), (written, image) in zip(read, items, strict=True):
        digest = hashlib.sha256(image).hexdigest() if image else None
        assert found == replace(written, image_file=found.image_file, image_sha256=digest)
    assert [found.image_file for found, _ in read] == ["a.png", None, "c%2Ed%2F%C3%A9.png"]


def test_any_record_can_be_read_alone(tmp_path: Path):
    names = [f"r{number}" for number in range(2 * RECORDS_PER_GROUP + 3)]
    write_shard(tmp_path / "train-00000.parquet", [(record(name), None) for name in names])
    shard = pickle.loads(pickle.dumps(RecordShard(tmp_path / "train-00000.parquet")))
    assert len(shard) == len(names)
    for place in (0, RECORDS_PER_GROUP - 1, RECORDS_PER_GROUP, len(names) - 1):
        assert shard.record(place) == record(names[place])
    with pytest.raises(IndexError, match=f"got {len(names)}"):
        shard.record(len(names))


def test_equal_contents_make_equal_bytes(tmp_path: Path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name / "train-00000.parquet", [(record("a"), picture(1)), (record("b"), picture(2))])
    for ending in ("parquet", "tar"):
        first, second = (tmp_path / name / f"train-00000.{ending}" for name in ("x", "y"))
        assert first.read_bytes() == second.read_bytes()


def test_the_tar_is_a_webdataset(tmp_path: Path):
    write_shard(tmp_path / "train-00000.parquet", [(record("a"), picture(1)), (record("b"), picture(2))])
    with tarfile.open(tmp_path / "train-00000.tar") as archive:
        assert archive.getnames() == ["a.png", "b.png"]
        assert archive.extractfile("b.png").read() == picture(2)


def test_a_shard_without_pictures_has_no_tar_and_takes_an_old_one_away(tmp_path: Path):
    path = tmp_path / "train-00000.parquet"
    write_shard(path, [(record("a"), picture())])
    write_shard(path, [(record("a"), None)])
    assert sorted(os.listdir(tmp_path)) == ["train-00000.parquet"]
    assert RecordShard(path).tar is None


class StopError(Exception):
    pass


def test_failing_while_records_come_leaves_nothing(tmp_path: Path):
    def items():
        yield record("a"), picture()
        raise StopError

    with pytest.raises(StopError):
        write_shard(tmp_path / "train-00000.parquet", items())
    assert os.listdir(tmp_path) == []


@for_each("step", range(4))
@for_each("is_replaced", [False, True])
def test_stopping_while_files_are_put_in_place_never_leaves_a_shard_with_a_foreign_tar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, is_replaced: bool
):
    """At every change of a name, the process dies: what is then called a shard is the old one or the new one."""
    path = tmp_path / "train-00000.parquet"
    if is_replaced:
        write_shard(path, [(record("old"), picture(1))])
    changes = 0

    def stopping(change):
        def changed(*arguments, **options):
            nonlocal changes
            changes += 1
            if changes > step:
                raise StopError
            return change(*arguments, **options)

        return changed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopping(os.replace))
        patch.setattr(Path, "unlink", stopping(Path.unlink))
        with pytest.raises(StopError):
            write_shard(path, [(record("new"), picture(2))])
    if path.exists():
        shard = RecordShard(path)
        assert hashlib.sha256(shard.tar_path.read_bytes()).hexdigest() == shard.tar.sha256
        assert [found.image_id for found in shard.records()] in (["old"], ["new"])
    write_shard(path, [(record("new"), picture(2))])
    assert [image for _, image in RecordShard(path).items()] == [picture(2)]


def test_pictures_of_other_kinds_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^image 'a': expected a PNG, JPEG or WebP file, got one that starts with"):
        write_shard(tmp_path / "train-00000.parquet", [(record("a"), b"nonsense")])


def test_other_parquet_files_are_refused(tmp_path: Path):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    path = tmp_path / "train-00000.parquet"
    parquet.write_table(arrow.table({"a": [1]}), path)
    with pytest.raises(ValueError, match=r"image_id: expected this column, got none\n") as caught:
        list(RecordShard(path).records())
    assert len(str(caught.value).splitlines()) == len(schema().names)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="expected a Parquet file"):
        _ = RecordShard(path).metadata


def test_plain_form_comes_back_and_fits_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = record_schema()
    for each in (record(), sparse("b")):
        plain = to_plain(each)
        assert from_plain(plain) == each
        jsonschema.validate(plain, schema)
    wrong = to_plain(with_instance(record(), 0, replace(record().instances[0], visible_mask="x")))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)
    assert "hides part of j" in schema["properties"]["order"]["description"]


def test_masks_take_the_form_of_coco():
    assert to_plain(Mask(height=2, width=3, counts="6")) == {"size": [2, 3], "counts": "6"}


def test_a_data_set_reads_like_a_list(tmp_path: Path):
    folder = RecordFolder(data_set(tmp_path / "set"), "train")
    assert [each.image_id for each in folder] == ["one", "two", "three", "four"]
    assert [folder[place].image_id for place in (3, 0, 2)] == ["four", "one", "three"]
    assert folder.item(2)[1] == picture(1)
    with pytest.raises(IndexError, match="expected 0 to 3, got 4"):
        folder[4]
    with pytest.raises(ValueError, match="expected a split out of train, got 'test'"):
        RecordFolder(tmp_path / "set", "test")
    with pytest.raises(ValueError, match="got none of these"):
        RecordFolder(tmp_path)


def test_reading_many_shards_at_random_keeps_few_in_memory_and_no_file_open(tmp_path: Path):
    with RecordWriter(tmp_path, records_per_shard=1) as writer:
        for number in range(OPEN_SHARDS + 5):
            writer.add(record(f"r{number}"), picture(number))
    folder = pickle.loads(pickle.dumps(RecordFolder(tmp_path)))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for number in [*range(OPEN_SHARDS + 5), 0, 3]:
        found, image = folder.item(number)
        assert (found.image_id, image) == (f"r{number}", picture(number))
    assert len(folder._opened) == OPEN_SHARDS
    assert (len(os.listdir("/proc/self/fd")) if before else 0) <= before


def test_a_writer_starts_new_shards_and_refuses_ids_again(tmp_path: Path):
    with RecordWriter(tmp_path, "test", records_per_shard=2) as writer:
        for name in "abcde":
            writer.add(record(name))
    assert (writer.num_records, writer.num_shards) == (5, 3)
    assert [len(shard) for shard in RecordFolder(tmp_path, "test").shards] == [2, 2, 1]
    with RecordWriter(tmp_path / "other") as writer:
        writer.add(record("a"))
        with pytest.raises(ValueError, match="expected an id of its own, got 'a' again"):
            writer.add(record("a"))


def test_the_hub_library_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    folder = data_set(tmp_path / "set", [record("one"), sparse("two"), record("three"), sparse("four")])
    loaded = datasets.load_dataset(
        "parquet", data_files=str(folder / "data" / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [from_plain(dict(row)) for row in loaded] == list(RecordFolder(folder))
    streamed = datasets.load_dataset(
        "parquet", data_files=str(folder / "data" / "*.parquet"), split="train", streaming=True
    )
    assert [row["image_id"] for row in streamed] == ["one", "two", "three", "four"]


def test_a_shard_may_be_empty(tmp_path: Path):
    """So that the numbers of shards have no gap where all pictures of one were bad."""
    folder = data_set(tmp_path / "set")
    assert write_shard(folder / "data" / "train-00002.parquet", []) == 0
    assert [len(shard) for shard in RecordFolder(folder).shards] == [2, 2, 0]
    assert len(list(RecordFolder(folder))) == 4
    assert statistics_of(folder)["records"] == 4
    assert list(check_folder(folder)) == []
    assert RecordSource(folder).shape_of(3).instances == 3
