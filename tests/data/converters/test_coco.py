"""COCO-style amodal data and KINS: which field is which, what the order is read off, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from occlusionformer.data.converters.coco_amodal import read_coco_amodal
from occlusionformer.data.converters.kins import read_kins
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records import DataSetMaker, Record, check_folder, check_record
from tests.data.converters.examples import mask, written
from tests.tables import for_each

HEIGHT, WIDTH = 20, 30
FRONT, BACK = (2, 2, 12, 12), (8, 6, 22, 16)


def polygon(box: tuple[int, int, int, int]) -> list[list[int]]:
    x1, y1, x2, y2 = box
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def xywh(box: tuple[int, int, int, int]) -> list[int]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


def hidden_mask() -> dict[str, Any]:
    """All of BACK that FRONT does not hide, as uncompressed runs."""
    x1, y1, x2, y2 = BACK
    columns = [(FRONT[3] if x < FRONT[2] else y1, y2) for x in range(x1, x2)]
    counts = [x1 * HEIGHT + columns[0][0]]
    for place, (top, bottom) in enumerate(columns):
        following = columns[place + 1][0] if place + 1 < len(columns) else None
        counts += [bottom - top, HEIGHT - bottom + following if following is not None else 0]
    counts[-1] = HEIGHT * WIDTH - sum(counts)
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def document(
    names: tuple[str, str, str, str], extra: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
) -> dict[str, Any]:
    """FRONT over BACK; `names` are those of the visible and amodal masks and boxes."""
    visible_mask, amodal_mask, visible_box, amodal_box = names
    hidden_box = (BACK[0], BACK[1], BACK[2], BACK[3])
    return {
        "info": {"year": 2026},
        "images": [
            {"id": 5, "width": WIDTH, "height": HEIGHT, "file_name": "5.png"},
            {"id": 6, "width": WIDTH, "height": HEIGHT, "file_name": "6.png"},
        ],
        "annotations": [
            {
                "id": 11,
                "image_id": 5,
                "category_id": 1,
                visible_mask: polygon(FRONT),
                amodal_mask: polygon(FRONT),
                visible_box: xywh(FRONT),
                amodal_box: xywh(FRONT),
                "area": 100,
                **extra[0],
            },
            {
                "id": 12,
                "image_id": 5,
                "category_id": 2,
                visible_mask: hidden_mask(),
                amodal_mask: mask(HEIGHT, WIDTH, BACK),
                visible_box: xywh(hidden_box),
                amodal_box: xywh(BACK),
                "area": 50,
                **extra[1],
            },
        ],
        "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "plate"}],
    }


KINS = ("inmodal_seg", "segmentation", "inmodal_bbox", "bbox")
OTHERS = [
    KINS,
    ("visible_mask", "segmentation", "visible_bbox", "bbox"),
    ("segmentation", "amodal_segm", "bbox", "amodal_bbox"),
]


def only(path: Path) -> Record | BadRecordError:
    (found,) = read_coco_amodal(path)
    return found


@pytest.mark.parametrize("names", OTHERS, ids=str)
def test_visible_and_amodal_are_told_apart(tmp_path: Path, names):
    found = only(written(tmp_path / "a.json", document(names)))
    assert isinstance(found, Record)
    assert check_record(found, require=["captions", "visible", "amodal", "order"]) == []
    assert (found.image_id, found.image_path, found.width, found.height) == ("5", "5.png", WIDTH, HEIGHT)
    assert [each.caption for each in found.instances] == ["cup", "plate"]
    assert [each.id for each in found.instances] == ["11", "12"]
    behind = found.instances[1]
    assert behind.amodal_box == tuple(map(float, BACK))
    assert behind.visible_mask != behind.amodal_mask
    assert json.loads(behind.extra)["area"] == 50


@pytest.mark.parametrize("names", OTHERS, ids=str)
def test_the_order_is_read_off_the_masks(tmp_path: Path, names):
    """The cup is seen inside all of the plate, and not the other way round."""
    found = only(written(tmp_path / "a.json", document(names)))
    assert isinstance(found, Record)
    assert found.order == ((0, 1), (0, 0))


def test_masks_that_do_not_border_have_no_order(tmp_path: Path):
    value = document(KINS)
    for name in ("inmodal_seg", "segmentation"):
        value["annotations"][0][name] = polygon((0, 0, 4, 4))
    for name in ("inmodal_bbox", "bbox"):
        value["annotations"][0][name] = [0, 0, 4, 4]
    found = only(written(tmp_path / "a.json", value))
    assert isinstance(found, Record)
    assert found.order == ((0, 0), (0, 0))


def test_a_declared_order_goes_before_the_masks(tmp_path: Path):
    """`occludes` lists the annotations that this one is in front of."""
    found = only(written(tmp_path / "a.json", document(KINS, ({}, {"occludes": [11]}))))
    assert isinstance(found, Record)
    assert found.order == ((0, 0), (1, 0))


def test_kins_keeps_its_ids_of_order(tmp_path: Path):
    source = written(tmp_path / "kins.json", document(KINS, ({"ico_id": 0, "oco_id": 1}, {"ico_id": 1, "oco_id": 1})))
    (found,) = read_kins(source)
    assert isinstance(found, Record)
    assert found.provenance.dataset == "KINS"
    assert [json.loads(each.extra)["ico_id"] for each in found.instances] == [0, 1]


def test_a_data_set_of_it_is_right(tmp_path: Path):
    DataSetMaker(tmp_path / "set").make(read_coco_amodal(written(tmp_path / "a.json", document(KINS))))
    assert list(check_folder(tmp_path / "set")) == []


@for_each(
    ("place", "change", "message"),
    [
        (0, {"category_id": 9}, "annotations[0].category_id: expected the id of a category, got 9"),
        (1, {"bbox": [1, 2]}, "annotations[1].bbox: expected four numbers x, y, width, height, got [1, 2]"),
        (
            1,
            {"segmentation": [[1, 2]]},
            "annotations[1].segmentation[0]: expected at least three corners x, y, got 2 numbers [1, 2]",
        ),
        (
            0,
            {"occludes": [11]},
            "annotations[0].occludes[0]: expected the id of another annotation of this image, got 11",
        ),
        (0, {"occludes": 12}, "annotations[0].occludes: expected a list of ids, got 12"),
        (0, {"id": "x"}, "annotations[0].id: expected a whole number, got 'x'"),
        (
            1,
            {"inmodal_seg": {"size": [2, 2], "counts": [1, 3]}},
            "annotations[1].inmodal_seg.size: expected the size of the picture, [20, 30], got [2, 2]",
        ),
    ],
)
def test_a_bad_annotation_is_told_with_its_picture(tmp_path: Path, place: int, change: dict[str, Any], message: str):
    value = document(KINS)
    value["annotations"][place].update(change)
    found = only(written(tmp_path / "a.json", value))
    assert isinstance(found, BadRecordError)
    assert found.problems[0].startswith(f"a.json: record 5: {message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{"id": 5, "height": 2}]}, "a.json: images[0].width: expected a whole number, got nothing"),
        ({"images": 3}, "the list 'images', got one without"),
        ({"categories": [{"id": 1}]}, "a.json: categories[0].name: expected text, got nothing"),
        ({"images": [{"id": 5, "height": 2, "width": 70000}]}, "images[0].width: expected 1 to 65535, got 70000"),
        (
            {"categories": [{"id": 1, "name": "cup"}, {"id": 1, "name": "mug"}]},
            "a.json: categories[1].id: expected an id of its own, got 1",
        ),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, change: dict[str, Any], message: str):
    source = written(tmp_path / "a.json", {**document(KINS), **change})
    with pytest.raises(ValueError, match="expected") as caught:
        list(read_coco_amodal(source))
    assert message in str(caught.value)
