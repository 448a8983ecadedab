"""COCOA: amodal polygons, visible masks only where something is hidden, and constraints counted from 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from occlusionformer.data.converters.cocoa import read_cocoa
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records import Record, check_record
from tests.data.converters.examples import mask, written
from tests.tables import for_each

IMAGES = [{"id": 8, "width": 30, "height": 20, "file_name": "8.jpg"}]
REGIONS = [
    {"name": "cup", "segmentation": [2, 2, 12, 2, 12, 12, 2, 12], "order": 1, "isStuff": 0, "occlude_rate": 0.0},
    {
        "name": "table",
        "segmentation": [10, 6, 34, 6, 34, 16, 10, 16],
        "visible_mask": mask(20, 30, (12, 6, 30, 16)),
        "order": 2,
        "isStuff": 0,
        "occlude_rate": 0.1,
    },
]
ANNOTATION = {"id": 1, "image_id": 8, "author": "x", "size": 2, "depth_constraint": "1-2", "regions": REGIONS}


def read(tmp_path: Path, *annotations: dict[str, Any]) -> list[Record | BadRecordError]:
    return list(read_cocoa(written(tmp_path / "cocoa.json", {"images": IMAGES, "annotations": list(annotations)})))


def test_regions_become_instances(tmp_path: Path):
    (found,) = read(tmp_path, ANNOTATION)
    assert isinstance(found, Record)
    assert check_record(found, require=["captions", "visible", "amodal", "order"]) == []
    cup, table = found.instances
    assert (cup.caption, cup.visible_mask) == ("cup", cup.amodal_mask)
    assert table.visible_box == (12.0, 6.0, 30.0, 16.0)
    assert table.amodal_box == (10.0, 6.0, 34.0, 16.0)


def test_constraint_1_2_puts_the_first_region_in_front(tmp_path: Path):
    (found,) = read(tmp_path, ANNOTATION)
    assert isinstance(found, Record)
    assert found.order == ((0, 1), (0, 0))


def test_several_people_for_one_picture(tmp_path: Path):
    found = read(tmp_path, ANNOTATION, {**ANNOTATION, "depth_constraint": ""}, {**ANNOTATION, "depth_constraint": None})
    assert [each.image_id for each in found if isinstance(each, Record)] == ["8", "8-2", "8-3"]
    assert [each.order for each in found if isinstance(each, Record)][1:] == [((0, 0), (0, 0))] * 2


@for_each(
    ("change", "message"),
    [
        ({"depth_constraint": "1-3"}, "depth_constraint: expected two different regions i-j out of 1 to 2, got '1-3'"),
        ({"depth_constraint": "0-1"}, "depth_constraint: expected two different regions i-j out of 1 to 2, got '0-1'"),
        ({"depth_constraint": "1-1"}, "depth_constraint: expected two different regions i-j out of 1 to 2, got '1-1'"),
        ({"depth_constraint": "a"}, "depth_constraint: expected two different regions i-j out of 1 to 2, got 'a'"),
        ({"regions": 4}, "regions: expected a list of objects, got 4"),
        ({"regions": [{"segmentation": [1, 1, 5, 1, 5, 5]}]}, "regions[0].name: expected text, got nothing"),
        ({"regions": [{"name": "x"}]}, "regions[0].segmentation: expected a polygon, got null"),
        ({"image_id": 9}, "image_id: expected the id of an image of this file, got 9"),
    ],
)
def test_a_bad_annotation_is_told(tmp_path: Path, change: dict[str, Any], message: str):
    (found,) = read(tmp_path, {**ANNOTATION, **change})
    assert isinstance(found, BadRecordError)
    assert any(problem.endswith(f": {message}") for problem in found.problems)
