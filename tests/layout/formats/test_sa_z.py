"""Records of the SA-Z data set."""

from __future__ import annotations

from typing import Any

import pytest

from occlusionformer.layout import Box, LayoutError, RunLength, read_layout, read_layouts, write_layout, write_layouts

MASK = {"size": [4, 5], "counts": [0, 20]}


def annotation(number: int, **fields: Any) -> dict[str, Any]:
    shape = {"bbox": [0, 0, 2, 2], "area": 4, "segmentation": MASK, "caption": "a thing"}
    return {"id": number, **shape, "predicted_iou": 0.9, "crop_box": [0, 0, 5, 4], **fields}


def record(*annotations: Any, order: Any = None, **fields: Any) -> dict[str, Any]:
    matrix = {} if order is None else {"pred_order": order}
    where = {"image_id": "12", "folder_name": "sa_000000", "image_path": "images/sa_000000/sa_12.jpg"}
    return {**where, "prompt": "things", "mask_annotation": list(annotations), **matrix, **fields}


def problems(source: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layouts(source, "sa-z")
    return caught.value.problems


def test_a_record():
    layout = read_layout(record(annotation(55, bbox=[1, 0.5, 3, 3.5], caption="a cup"), annotation(7)), "sa-z")
    assert (layout.prompt, layout.width, layout.height, layout.order, layout.cycles) == ("things", 5, 4, None, "allow")
    first, second = layout.instances
    assert (first.id, first.caption, first.box) == ("55", "a cup", Box(0.2, 0.125, 0.8, 1))
    assert first.region == RunLength(size=(4, 5), counts=[0, 20])
    assert second.id == "7"


def test_a_row_of_the_matrix_occludes_its_columns():
    layout = read_layout(record(annotation(55), annotation(56), order=[[0, 1], [0, 0]]), "sa-z")
    assert [sorted(layout.zorder.occluders(place)) for place in range(2)] == [[], [0]]


def test_mutual_occlusion_is_kept_unless_told_otherwise():
    both = record(annotation(55), annotation(56), order=[[0, 1], [1, 0]])
    assert read_layout(both, "sa-z").zorder.edges == {(0, 1), (1, 0)}
    with pytest.raises(LayoutError, match=r"^pred_order: z-order loops: 55 > 56 > 55$"):
        read_layout(both, "sa-z", cycles="error")


def test_pairs_that_were_not_judged_have_no_relation():
    layout = read_layout(record(annotation(55), annotation(56), order=[[0, -1], [1, 0]]), "sa-z")
    assert layout.zorder.edges == {(1, 0)}


def test_masks_may_be_left_unread():
    layout = read_layout(record(annotation(55)), "sa-z", regions=False)
    assert (layout.width, layout.height, layout.instances[0].region) == (5, 4, None)


def test_a_file_holds_records_by_image():
    source = {"12": record(annotation(55)), "13": record(annotation(56), prompt="other things")}
    assert [layout.prompt for layout in read_layouts(source, "sa-z")] == ["things", "other things"]
    assert [layout.prompt for layout in read_layouts(list(source.values()), "sa-z")] == ["things", "other things"]


def test_every_problem_of_every_record_is_told():
    source = {
        "12": record(
            annotation(55, bbox=[1, 1, 5, 0]),
            annotation(55, bbox=[1, 1, "x", 1], segmentation={"size": [4, 6], "counts": "zz"}),
            3,
            annotation(56, bbox=[2, 0, 3.5, 4], caption=None, segmentation=8),
            order=[[1, 2, 0, 0], [0, 0, 0], 0, [0, 0, 0, 0.0]],
        ),
        "13": record(order=[[0]]),
        "14": 5,
    }
    assert problems(source) == [
        "['12'].mask_annotation[2]: expected an object, got 3",
        "['12'].mask_annotation[1].segmentation.size: expected the size of the image, [4, 5], got [4, 6]",
        "['12'].mask_annotation[0].bbox: expected a height above 0, got 0",
        "['12'].mask_annotation[1].bbox: expected four finite numbers x, y, width, height, got [1, 1, 'x', 1]",
        "['12'].mask_annotation[3].bbox: expected x2 from 0 to 5, got 5.5",
        "['12'].pred_order[0][0]: expected 0, got 1: an instance in front of itself",
        "['12'].pred_order[0][1]: expected 1, 0 or -1, got 2",
        "['12'].pred_order[1]: expected a list of 4 numbers, got [0, 0, 0]",
        "['12'].pred_order[2]: expected a list of 4 numbers, got 0",
        "['12'].pred_order[3][3]: expected 1, 0 or -1, got 0.0",
        "['12'].mask_annotation[1].segmentation.counts: "
        "expected a COCO compressed string: character 'z' at 0 is none of '0' to 'o', got 'zz'",
        "['12'].mask_annotation[3].caption: expected text, got null",
        "['12'].mask_annotation[3].segmentation: expected an object with points, or with size and counts, got 8",
        "['12'].mask_annotation[1].id: expected an id of its own, got '55' again",
        "['13'].pred_order: expected 0 lists of 0 numbers, got [[0]]",
        "['13'].width: expected a value, got nothing",
        "['13'].height: expected a value, got nothing",
        "['14']: expected an object, got 5",
    ]


def test_the_size_beside_the_masks_must_be_theirs():
    assert problems(record(annotation(55), width=5, height=8)) == [
        "mask_annotation[0].segmentation.size: expected the size of the image, [8, 5], got [4, 5]",
    ]


def test_a_record_without_masks_needs_a_size():
    bare = annotation(55)
    del bare["segmentation"]
    assert problems(record(bare)) == ["width: expected a value, got nothing", "height: expected a value, got nothing"]
    layout = read_layout(record(bare, width=8, height=4), "sa-z")
    assert (layout.width, layout.height, layout.instances[0].box) == (8, 4, Box(0, 0, 0.25, 0.5))


def test_what_is_written():
    one = read_layout(record(annotation(55), annotation(7, instance_id="cup"), order=[[0, 0], [1, 0]]), "sa-z")
    assert write_layout(one, "sa-z") == (
        "{\n"
        '  "image_id": 1,\n'
        '  "prompt": "things",\n'
        '  "mask_annotation": [\n'
        "    {\n"
        '      "id": 55,\n'
        '      "bbox": [0, 0, 2, 2],\n'
        '      "segmentation": {"size": [4, 5], "counts": [0, 20]},\n'
        '      "caption": "a thing"\n'
        "    },\n"
        "    {\n"
        '      "id": 2,\n'
        '      "instance_id": "cup",\n'
        '      "bbox": [0, 0, 2, 2],\n'
        '      "segmentation": {"size": [4, 5], "counts": [0, 20]},\n'
        '      "caption": "a thing"\n'
        "    }\n"
        "  ],\n"
        '  "pred_order": [[0, 0], [1, 0]]\n'
        "}\n"
    )
    assert read_layouts(write_layouts([one, one], "sa-z"), "sa-z") == [one, one]
