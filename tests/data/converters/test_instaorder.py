"""InstaOrder: both directions of both matrices, weights as confidences, and references that lead nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from occlusionformer.data.converters.instaorder import read_instaorder
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records import Record, check_record
from tests.data.converters.examples import written
from tests.tables import for_each

COCO = {
    "images": [{"id": 3, "width": 30, "height": 20, "file_name": "000003.jpg"}],
    "categories": [{"id": 1, "name": "dog"}],
    "annotations": [
        {
            "id": 40 + place,
            "image_id": 3,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": [4.0 * place, 2.0, 6.0, 8.0],
            "segmentation": [[4 * place, 2, 4 * place + 6, 2, 4 * place + 6, 10, 4 * place, 10]],
        }
        for place in range(4)
    ],
}
CAPTIONS = {"annotations": [{"image_id": 3, "caption": " Four dogs. "}, {"image_id": 3, "caption": "Dogs."}]}
ORDERS = {
    "image_id": 3,
    "instance_ids": [41, 40, 43, 42],
    "occlusion": [{"order": "0<1", "count": 2}, {"order": "3<2 & 2<3", "count": 4}],
    "depth": [
        {"order": "0<1", "overlap": False, "count": 2},
        {"order": "3<0", "overlap": True, "count": 8},
        {"order": "1=2", "overlap": False, "count": 4},
    ],
}


def read(tmp_path: Path, orders: dict[str, Any], *, captions: bool = False) -> Record | BadRecordError:
    source = written(tmp_path / "orders.json", {"annotations": [orders]})
    coco = written(tmp_path / "instances.json", COCO)
    prompts = written(tmp_path / "captions.json", CAPTIONS) if captions else None
    (found,) = read_instaorder(source, instances=coco, captions=prompts)
    return found


def test_i_before_j_occludes_j_and_is_closer(tmp_path: Path):
    found = read(tmp_path, ORDERS)
    assert isinstance(found, Record)
    assert check_record(found, require=["captions", "visible", "order", "depth"]) == []
    assert [each.id for each in found.instances] == ["41", "40", "43", "42"]
    assert found.order == ((0, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0))
    assert found.depth == ((-1, 1, -1, 0), (0, -1, 2, -1), (-1, 2, -1, -1), (1, -1, -1, -1))


def test_confidence_is_the_weight_of_the_metric(tmp_path: Path):
    found = read(tmp_path, ORDERS)
    assert isinstance(found, Record)
    assert found.order_confidence is not None
    assert found.depth_confidence is not None
    assert (found.order_confidence[0][1], found.order_confidence[3][2], found.order_confidence[0][2]) == (1.0, 0.5, 1.0)
    assert (found.depth_confidence[3][0], found.depth_confidence[0][3], found.depth_confidence[0][2]) == (0.25, 0.25, 0)


def test_captions_become_prompts(tmp_path: Path):
    assert read(tmp_path, ORDERS, captions=True).prompt == "Four dogs."
    assert read(tmp_path, ORDERS).prompt == ""


def test_pictures_without_occlusion(tmp_path: Path):
    found = read(tmp_path, {"image_id": 3, "instance_ids": [40, 41]})
    assert isinstance(found, Record)
    assert found.order == ((0, 0), (0, 0))
    assert found.depth == ((-1, -1), (-1, -1))


@for_each(
    ("change", "message"),
    [
        ({"image_id": 9}, "image_id: expected the id of an image in the COCO file, got 9"),
        (
            {"instance_ids": [40, 99, 42, 43]},
            "instance_ids[1]: expected the id of an annotation in the COCO file, got 99",
        ),
        ({"instance_ids": "x"}, "instance_ids: expected a list of annotation ids, got 'x'"),
        (
            {"occlusion": [{"order": "0<9", "count": 2}]},
            "occlusion[0].order: expected two different places i<j below 4, got '0<9'",
        ),
        (
            {"occlusion": [{"order": "0=1", "count": 2}]},
            "occlusion[0].order: expected two different places i<j below 4, got '0=1'",
        ),
        (
            {"depth": [{"order": "1>2", "count": 2}]},
            "depth[0].order: expected two different places i<j or i=j below 4, got '1>2'",
        ),
        ({"depth": [{"order": "1<2", "count": 0}]}, "depth[0].count: expected at least 1, got 0"),
        ({"depth": [{"order": "1<2"}]}, "depth[0].count: expected a whole number, got nothing"),
    ],
)
def test_a_bad_record_is_told(tmp_path: Path, change: dict[str, Any], message: str):
    found = read(tmp_path, {**ORDERS, **change})
    assert isinstance(found, BadRecordError)
    assert found.problems[0] == f"orders.json: record {found.record!r}: {message}"
