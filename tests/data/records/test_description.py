"""Statistics against counting by hand, the card, splits that stay, and joins that tell what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from occlusionformer.data.records import (
    DataSetMaker,
    Join,
    RecordFolder,
    RecordWriter,
    Splitting,
    check_folder,
    sa_1b_pictures,
    sa_number,
    sacap_rows,
    scene_items,
    split_data_set,
    statistics_of,
    with_sacap,
    write_descriptions,
)
from occlusionformer.data.records.splitting import difficulty
from occlusionformer.data.world.scenes import WorldDataset, WorldSpec
from occlusionformer.layout import ZOrder
from tests.data.records.examples import data_set, record


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "set"
    DataSetMaker(folder, records_per_shard=15).make(
        scene_items(WorldDataset(seed=4, length=40, spec=WorldSpec(width=48, height=48, max_instances=12)))
    )
    return folder


def test_statistics_are_those_counted_by_hand(tmp_path: Path):
    loop = ((0, 1, 0), (0, 0, 1), (1, 0, 0))
    mutual = ((0, 1, 0), (1, 0, 0), (0, 0, 0))
    records = [
        record("a"),
        replace(record("b"), order=loop),
        replace(record("c"), order=mutual, prompt=""),
        replace(record("d"), order=None, order_confidence=None, depth=None, depth_confidence=None),
        replace(record("e"), instances=record().instances[:1], order=((0,),), order_confidence=None, depth=((-1,),)),
    ]
    with RecordWriter(tmp_path, records_per_shard=2) as writer:
        for each in records:
            writer.add(replace(each, depth_confidence=None))
    counted = statistics_of(tmp_path)["splits"]["train"]
    edges = sum(len(each.edges) for each in records)
    loops = sum(bool(ZOrder.from_pairs(len(each.instances), each.edges).cycles()) for each in records)
    assert (counted["records"], counted["instances"], counted["shards"]) == (5, 13, 3)
    assert (counted["edges"], counted["records_with_loops"], counted["mutual_pairs"]) == (edges, loops, 1) == (6, 2, 1)
    assert counted["occluded_instances"] == 1 + 3 + 2
    assert (counted["prompts"], counted["orders"], counted["depths"], counted["pictures"]) == (4, 4, 4, 0)
    assert counted["instances_per_record"] == {"1": 1, "3": 4}
    assert (counted["captions"], counted["words_per_caption"]) == (13, 2.0)
    assert sum(counted["side_of_instances"]) == 13


def test_loops_are_those_of_the_orders(scenes: Path, tmp_path: Path):
    """Instances behind a loop are no part of one, but their record has one."""
    behind = ((0, 1, 0), (1, 0, 1), (0, 0, 0))
    with RecordWriter(tmp_path) as writer:
        writer.add(replace(record("a"), order=behind))
        writer.add(replace(record("b"), order=((0, 1, 1), (0, 0, 1), (0, 0, 0))))
    assert statistics_of(tmp_path)["splits"]["train"]["records_with_loops"] == 1
    assert statistics_of(scenes)["splits"]["train"]["records_with_loops"] == 0


def test_the_card_names_the_files_of_every_split(tmp_path: Path):
    folder = data_set(tmp_path / "set")
    with RecordWriter(folder, "test") as writer:
        writer.add(record("five"))
    write_descriptions(folder)
    card = (folder / "README.md").read_text()
    header = card.split("---")[1].splitlines()
    assert [line for line in header if "path:" in line] == [
        "    path: data/test-*.parquet",
        "    path: data/train-*.parquet",
    ]
    assert "5 pictures with 15 instances, from examples." in card
    assert json.loads((folder / "record.schema.json").read_text())["title"] == "Record"


def test_splits_do_not_depend_on_the_other_pictures(scenes: Path, tmp_path: Path):
    splitting = Splitting(shares={"train": 0.6, "test": 0.4}, seed=3)
    sizes = split_data_set(scenes, tmp_path / "split", splitting)
    assert sum(sizes.values()) == 40
    assert set(sizes) == {"train", "test"}
    assert list(check_folder(tmp_path / "split")) == []
    originals = {found.image_id: (found, image) for found, image in RecordFolder(scenes).items()}
    for split in sizes:
        for found, image in RecordFolder(tmp_path / "split", split).items():
            assert splitting.split_of(found.image_id) == split
            assert originals.pop(found.image_id) == (found, image)
    assert originals == {}
    ids = json.loads((tmp_path / "split" / "splits.json").read_text())
    assert {split: len(names) for split, names in ids.items()} == sizes


def test_shares_are_kept_on_average():
    splitting = Splitting(shares={"a": 0.7, "b": 0.3})
    count = sum(splitting.split_of(str(number)) == "a" for number in range(4000))
    assert abs(count / 4000 - 0.7) < 0.03


def test_the_hardest_are_set_apart(scenes: Path, tmp_path: Path):
    sizes = split_data_set(scenes, tmp_path / "split", Splitting(shares={"train": 1.0}, hardest=3))
    assert sizes == {"hard": 3, "train": 37}
    least = min(difficulty(found) for found in RecordFolder(tmp_path / "split", "hard"))
    eligible = [found for found in RecordFolder(tmp_path / "split", "train") if len(found.instances) >= 3]
    assert all(difficulty(found) <= least for found in eligible if len(found.edges) >= 2)
    with pytest.raises(
        ValueError, match=r"^hardest: expected at most the \d+ pictures with at least 3 instances and 2"
    ):
        split_data_set(scenes, tmp_path / "more", Splitting(shares={"train": 1.0}, hardest=1000))
    assert not (tmp_path / "more").exists()


def test_shares_that_are_none_are_refused():
    with pytest.raises(ValueError, match="shares") as caught:
        Splitting(shares={"a-b": 0.5, "hard": 0.2, "c": -1})
    assert str(caught.value).splitlines() == [
        "shares['c']: expected 0 to 1, got -1",
        "shares: expected names of letters, digits and underscores, got 'a-b'",
        "shares: expected names of letters, digits and underscores, got 'hard'",
        "shares: expected a sum of 1, got -0.3",
    ]


def test_a_folder_with_files_is_not_written_into(tmp_path: Path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="expected a new or empty folder, got one with files"):
        DataSetMaker(tmp_path / "set").make([record()])
    with pytest.raises(ValueError, match="expected at least one record, got none"):
        DataSetMaker(tmp_path / "none").make([])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_pictures_come_from_a_folder(tmp_path: Path):
    from tests.data.records.examples import picture

    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(picture(1))
    DataSetMaker(tmp_path / "set", image_root=tmp_path).make([record("a")])
    assert RecordFolder(tmp_path / "set").item(0)[1] == picture(1)
    with pytest.raises(ValueError, match="b: image_path: expected a file in"):
        DataSetMaker(tmp_path / "other", image_root=tmp_path).make([record("b")])
    outside = replace(record("c"), image_path="../images/a.png")
    with pytest.raises(ValueError, match="c: image_path: expected a file in"):
        DataSetMaker(tmp_path / "other", image_root=tmp_path / "images").make([outside])


def test_the_same_picture_by_any_name():
    names = [223750, "223750", "sa_223750.jpg", "images/sa_000020/sa_223750.jpg", "sa_223750"]
    assert {sa_number(name) for name in names} == {"223750"}
    with pytest.raises(ValueError, match=r"^expected the name of a picture like sa_223750\.jpg, got 'dog\.jpg'$"):
        sa_number("dog.jpg")


def test_joining_tells_what_found_no_partner(tmp_path: Path):
    for name in ("sa_1.jpg", "sa_3.jpg"):
        (tmp_path / "sa_000000").mkdir(exist_ok=True)
        (tmp_path / "sa_000000" / name).write_bytes(b"")
    joined = Join([record("1"), record("2")], sa_1b_pictures(tmp_path))
    assert [(found.image_id, path.name) for found, path in joined] == [("1", "sa_1.jpg")]
    assert (joined.records_without, joined.others_without) == (["2"], ("sa_3.jpg",))
    with pytest.raises(ValueError, match=r"^expected every picture once, got 'sa_1.jpg' and '1'$"):
        Join([], [("sa_1.jpg", 0), ("1", 0)])


def test_captions_of_sacap(tmp_path: Path):
    rows = {
        "imagename": ["sa_1.jpg", "sa_9.jpg"],
        "image_group": ["sa_000000", "sa_000000"],
        "caption": ["a long caption", "another"],
        "segments_info": [[{"anno_id": 7, "caption": "a cup"}, {"anno_id": 9, "caption": "a spoon"}], []],
    }
    pq.write_table(pa.table(rows), tmp_path / "anno.parquet")
    joined = Join([record("1")], sacap_rows(tmp_path / "anno.parquet"))
    ((found, row),) = joined
    assert joined.others_without == ("sa_9.jpg",)
    changed, unmatched = with_sacap(found, row)
    assert changed.prompt == "a long caption"
    assert [each.caption for each in changed.instances] == ["a cup", "thing 8", "a spoon"]
    assert unmatched == ("8",)
    pq.write_table(pa.table({"imagename": ["x"]}), tmp_path / "anno.parquet")
    with pytest.raises(ValueError, match="segments_info: expected this column, got none"):
        list(sacap_rows(tmp_path / "anno.parquet"))
