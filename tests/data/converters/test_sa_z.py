"""SA-Z: nothing is lost on the way there and back, directions are right, and bad records say what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.converters.sa_z import read_sa_z, write_sa_z
from occlusionformer.data.records import (
    DataSetMaker,
    Record,
    RecordFolder,
    check_folder,
    decode_masks,
    layout_of_record,
)
from occlusionformer.layout import read_layout
from tests.data.converters.examples import mask, sa_z, written
from tests.tables import for_each


def identical(first: Any, second: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and true are three things."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(identical(first[name], second[name]) for name in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(identical, first, second))
    return first == second


def round_trip(tmp_path: Path, value: Any) -> Any:
    DataSetMaker(tmp_path / "set", require=()).make(read_sa_z(written(tmp_path / "SA-Z.json", value)))
    write_sa_z(RecordFolder(tmp_path / "set"), tmp_path / "back.json")
    return json.loads((tmp_path / "back.json").read_text())


def one(value: dict[str, Any], tmp_path: Path) -> Record | BadRecordError:
    (found,) = read_sa_z(written(tmp_path / "one.json", {"7": value}))
    return found


def test_nothing_is_lost(tmp_path: Path):
    value = sa_z(40)
    assert identical(round_trip(tmp_path, value), value)
    assert list(check_folder(tmp_path / "set", require=["captions", "prompt", "visible", "order"])) == []


@for_each(
    "change",
    [
        {"image_id": "sa_7"},
        {"image_id": "0007"},
        {"image_id": -7},
        {"image_id": 10**30 // 10**12},
        {"image_path": None},
        {"pred_order": None},
        {"new_field": {"a": [1, 2.0, None]}},
        {"width": 60, "height": 40},
    ],
    ids=str,
)
def test_unusual_records_come_back_as_they_were(tmp_path: Path, change: dict[str, Any]):
    value = sa_z(2)
    value["7"].update(change)
    assert identical(round_trip(tmp_path, value), value)


@pytest.mark.parametrize("name", ["image_id", "image_path", "pred_order", "folder_name"])
def test_missing_fields_stay_missing(tmp_path: Path, name: str):
    value = sa_z(2)
    del value["8"][name]
    assert identical(round_trip(tmp_path, value), value)


@for_each(
    "change",
    [
        {"bbox": [2, 16, 6, 5]},
        {"bbox": [2.1, 16.2, 5.7, 5]},
        {"bbox": [2.1, 16.1, 6.2, 5.3]},
        {"id": "abc"},
        {"id": "12"},
        {"id": -3},
        {"id": 2**63},
        {"caption": ""},
        {"note": None},
    ],
    ids=str,
)
def test_unusual_rows_come_back_as_they_were(tmp_path: Path, change: dict[str, Any]):
    value = sa_z(1)
    value["7"]["mask_annotation"][0].update(change)
    assert identical(round_trip(tmp_path, value), value)


def test_uncompressed_masks_come_back_and_are_the_same_masks(tmp_path: Path):
    value = sa_z(1, seed=3)
    row = value["7"]["mask_annotation"][0]
    plain = one(value["7"], tmp_path)
    runs = {"size": row["segmentation"]["size"], "counts": [5, 7, row["segmentation"]["size"][0] ** 0 * 2388]}
    row["segmentation"] = runs
    row["bbox"] = [0.0, 5.0, 1.0, 7.0]
    changed = one(value["7"], tmp_path)
    assert isinstance(plain, Record)
    assert isinstance(changed, Record)
    first = changed.instances[0].visible_mask
    assert first is not None
    assert decode_masks([first])[0].sum() == 7
    assert identical(round_trip(tmp_path, value), value)


def test_keys_that_are_not_the_id_come_back(tmp_path: Path):
    value = {"x": sa_z(1)["7"], "sa_8.jpg": sa_z(2)["8"]}
    assert identical(round_trip(tmp_path, value), value)


def test_a_list_of_records_comes_back_as_a_list(tmp_path: Path):
    value = list(sa_z(5).values())
    assert identical(round_trip(tmp_path, value), value)


def test_boxes_become_corners(tmp_path: Path):
    value = sa_z(1)["7"]
    value["mask_annotation"][0]["bbox"] = [3.0, 4.0, 5.0, 6.0]
    found = one(value, tmp_path)
    assert isinstance(found, Record)
    assert found.instances[0].visible_box == (3.0, 4.0, 8.0, 10.0)


def two_rows(order: list[list[int]]) -> dict[str, Any]:
    rows = [
        {"id": 1, "bbox": [0.0, 0.0, 8.0, 8.0], "segmentation": mask(10, 12, (0, 0, 8, 8)), "caption": "a cup"},
        {"id": 2, "bbox": [4.0, 4.0, 6.0, 6.0], "segmentation": mask(10, 12, (4, 4, 10, 10)), "caption": "a plate"},
    ]
    return {"image_id": 7, "prompt": "a table", "mask_annotation": rows, "pred_order": order}


def test_row_i_of_pred_order_hides_column_j(tmp_path: Path):
    """The same as `occludes` in the published examples: ids, from 1, of what a row is in front of."""
    document = two_rows([[0, 1], [0, 0]])
    found = one(document, tmp_path)
    assert isinstance(found, Record)
    assert found.edges == ((0, 1),)
    layout = layout_of_record(found)
    assert layout.zorder is not None
    assert layout.zorder.front_to_back() == (0, 1)
    published = {
        "prompt": "a table",
        "width": 12,
        "height": 10,
        "annos": [
            {"bbox": [0, 0, 8, 8], "caption": "a cup", "occludes": "2"},
            {"bbox": [4, 4, 10, 10], "caption": "a plate", "occludes": ""},
        ],
    }
    drawn = read_layout(json.dumps(published), "published")
    assert drawn.zorder == layout.zorder == read_layout(json.dumps(document), "sa-z").zorder
    assert [instance.box for instance in drawn.instances] == [instance.box for instance in layout.instances]


def test_both_ways_and_unknown_are_kept(tmp_path: Path):
    found = one(two_rows([[0, 1], [1, 0]]), tmp_path)
    assert isinstance(found, Record)
    assert found.edges == ((0, 1), (1, 0))
    unknown = one(two_rows([[0, -1], [0, 0]]), tmp_path)
    assert isinstance(unknown, Record)
    assert (unknown.order, unknown.edges) == (((0, -1), (0, 0)), ())


ROW = ("mask_annotation", 0)
BAD = [
    (("prompt",), None, "prompt: expected text, got null"),
    (("image_id",), 1.5, "image_id: expected text or a whole number, got 1.5"),
    (("image_id",), True, "image_id: expected text or a whole number, got true"),
    (("image_path",), 3, "image_path: expected text, got 3"),
    (("mask_annotation",), None, "mask_annotation: expected a list of objects, got null"),
    (ROW, 3, "mask_annotation[0]: expected an object, got 3"),
    ((*ROW, "id"), None, "mask_annotation[0].id: expected text or a whole number, got null"),
    ((*ROW, "caption"), 5, "mask_annotation[0].caption: expected text, got 5"),
    ((*ROW, "bbox"), [1, 2, 3], "mask_annotation[0].bbox: expected four numbers x, y, width, height, got [1, 2, 3]"),
    (
        (*ROW, "bbox"),
        [1, 2, 3, "4"],
        "mask_annotation[0].bbox: expected four numbers x, y, width, height, got [1, 2, 3, '4']",
    ),
    ((*ROW, "segmentation"), "x", "mask_annotation[0].segmentation: expected a COCO run-length mask, got 'x'"),
    (
        (*ROW, "segmentation", "counts"),
        3,
        "mask_annotation[0].segmentation.counts: expected a COCO compressed string or a list of whole numbers, got 3",
    ),
    (
        (*ROW, "segmentation", "size"),
        [10.0, 12],
        "mask_annotation[0].segmentation.size: expected height and width, got [10.0, 12]",
    ),
    (
        ("mask_annotation", 1, "segmentation", "size"),
        [12, 10],
        "mask_annotation[1].segmentation.size: expected the size of the other masks, [10, 12], got [12, 10]",
    ),
    (("pred_order",), [[0]], "pred_order: expected 2 lists of 2 numbers, got [[0]]"),
    (("pred_order", 1), [0], "pred_order[1]: expected a list of 2 numbers, got [0]"),
    (("pred_order", 0, 1), 2, "pred_order[0][1]: expected 1, 0 or -1, got 2"),
    (("pred_order", 0, 1), 1.0, "pred_order[0][1]: expected 1, 0 or -1, got 1.0"),
    (("pred_order", 0, 1), True, "pred_order[0][1]: expected 1, 0 or -1, got true"),
    (("pred_order", 1, 1), 1, "pred_order[1][1]: expected 0, got 1: an instance in front of itself"),
]


@for_each(("path", "value", "message"), BAD, ids=lambda part: str(part)[:40])
def test_a_bad_record_is_told_with_file_record_and_field(tmp_path: Path, path, value, message):
    document = two_rows([[0, 1], [0, 0]])
    part: Any = document
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    found = one(document, tmp_path)
    assert isinstance(found, BadRecordError)
    assert found.problems == [f"one.json: record '7': {message}"]


@pytest.mark.parametrize("name", ["prompt", "mask_annotation"])
def test_missing_fields_of_a_record_are_told(tmp_path: Path, name: str):
    document = two_rows([[0, 1], [0, 0]])
    del document[name]
    found = one(document, tmp_path)
    assert isinstance(found, BadRecordError)
    assert found.problems[0].endswith("got nothing")


def test_records_without_masks_need_a_size(tmp_path: Path):
    document = two_rows([[0, 1], [0, 0]])
    for row in document["mask_annotation"]:
        del row["segmentation"]
    found = one(document, tmp_path)
    assert isinstance(found, BadRecordError)
    assert found.problems == [
        f"one.json: record '7': {name}: expected a whole number in a record without masks, got nothing"
        for name in ("height", "width")
    ]
    sized = one({**document, "height": 10, "width": 12}, tmp_path)
    assert isinstance(sized, Record)
    assert (sized.width, sized.height, sized.instances[0].visible_mask) == (12, 10, None)


def test_one_bad_record_stops_all_or_is_passed_over(tmp_path: Path):
    value = sa_z(6)
    value["9"]["prompt"] = 4
    source = written(tmp_path / "SA-Z.json", value)
    with pytest.raises(ValueError, match=r"^SA-Z.json: record '9': prompt: expected text, got 4$"):
        DataSetMaker(tmp_path / "set", require=()).make(read_sa_z(source))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SA-Z.json"]
    made = DataSetMaker(tmp_path / "set", skip_bad=True).make(read_sa_z(source))
    assert (made.records, made.rejected) == (5, 1)
    lines = (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"problems": ["SA-Z.json: record '9': prompt: expected text, got 4"]}
    ]


def test_what_the_file_cannot_hold_is_not_dropped_unasked(tmp_path: Path):
    (found,) = read_sa_z(written(tmp_path / "one.json", {"7": two_rows([[0, 1], [0, 0]])}))
    assert isinstance(found, Record)
    full = replace(found.instances[0], amodal_box=(0.0, 0.0, 9.0, 9.0), category="cup")
    richer = replace(found, instances=(full, found.instances[1]), depth=((-1, 1), (0, -1)))
    with pytest.raises(ValueError, match="cannot hold") as caught:
        write_sa_z([richer], tmp_path / "back.json")
    assert str(caught.value).splitlines() == [
        "7: depth: SA-Z cannot hold it",
        "7: instances[0].category: SA-Z cannot hold it",
        "7: instances[0].amodal_box: SA-Z cannot hold it",
    ]
    assert not (tmp_path / "back.json").exists()
    write_sa_z([richer], tmp_path / "back.json", lossy=True)
    assert list(read_sa_z(tmp_path / "back.json")) == [
        replace(found, provenance=replace(found.provenance, source="back.json"))
    ]
