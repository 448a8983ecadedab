"""SimpleTuner's sidecars."""

from __future__ import annotations

from typing import Any

import pytest

from occlusionformer.layout import Box, Depths, LayoutError, read_layout, read_layouts, write_layout

CANVAS: dict[str, Any] = {"prompt": "things", "width": 640, "height": 480}
CAT, DOG = {"bbox": [0, 0, 0.5, 1], "label": "a cat"}, {"bbox": [0.25, 0, 1, 1], "caption": "a dog"}


def problems(source: Any, **options: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layouts(source, "simpletuner", **options)
    return caught.value.problems


@pytest.mark.parametrize(
    "source",
    [
        [CAT, DOG],
        '[{"bbox": [0, 0, 0.5, 1], "text": "a cat"}, {"bbox": [0.25, 0, 1, 1], "label": "a dog"}]',
        '{"bbox": [0, 0, 0.5, 1], "label": "a cat"}\n\n{"bbox": [0.25, 0, 1, 1], "label": "a dog"}\n',
    ],
)
def test_a_list_or_lines_of_boxes_need_prompt_and_canvas(source):
    layout = read_layout(source, "simpletuner", **CANVAS)
    assert (layout.prompt, layout.width, layout.height, layout.order) == ("things", 640, 480, None)
    assert [(i.id, i.caption, i.box) for i in layout.instances] == [
        ("1", "a cat", Box(0, 0, 0.5, 1)),
        ("2", "a dog", Box(0.25, 0, 1, 1)),
    ]
    assert problems(source) == [
        "prompt: expected a value, got nothing",
        "width: expected a value, got nothing",
        "height: expected a value, got nothing",
    ]


def test_only_a_line_feed_ends_a_line():
    """JSON may hold other characters that Python takes for ends of lines."""
    source = '{"bbox": [0, 0, 0.5, 1], "label": "a\u2028b\x85"}\n{"bbox": [0, 0, 1, 1], "label": "c"}'
    assert [i.caption for i in read_layout(source, "simpletuner", **CANVAS).instances] == ["a\u2028b\x85", "c"]


def test_a_single_line_is_a_single_box():
    assert len(read_layout('{"bbox": [0, 0, 0.5, 1], "label": "a cat"}', "simpletuner", **CANVAS).instances) == 1


def test_an_object_around_the_boxes_may_hold_prompt_and_canvas():
    layout = read_layout({**CANVAS, "seed": 3, "boxes": [CAT]}, "simpletuner")
    assert (layout.prompt, layout.width, layout.height, layout.seed) == ("things", 640, 480, 3)
    assert problems({**CANVAS, "boxes": [CAT]}, prompt="other") == [
        "prompt: expected a value in the document or from the caller, got both"
    ]


def test_the_higher_z_is_nearer():
    layout = read_layout([{**CAT, "z": 1}, {**DOG, "z": 7}], "simpletuner", **CANVAS)
    assert layout.order == Depths(depths={"1": -1, "2": -7})
    assert layout.zorder.edges == {(1, 0)}


@pytest.mark.parametrize("occludes", ["2", [2]])
def test_the_box_that_occludes_is_in_front(occludes):
    layout = read_layout([{**CAT, "occludes": occludes}, DOG], "simpletuner", **CANVAS)
    assert layout.zorder.edges == {(0, 1)}


def test_every_problem_is_told():
    rows = [
        {"bbox": [0.5, 0, 0.25, 1.5], "label": "", "z": 3},
        {"label": "a cat", "text": "a dog", "occludes": [1, 2, 5], "score": 1},
        "a cat",
    ]
    assert problems(rows, prompt="things", width=-1) == [
        "[2]: expected an object, got 'a cat'",
        "[0].bbox: expected y2 from 0 to 1, got 1.5",
        "[0].bbox: expected x1 < x2, got 0.5 and 0.25",
        "[1].score: unknown field; expected bbox, label, caption, text, z, occludes or id",
        "[1].text: expected one of label and text, got both",
        "[1].bbox: expected a value, got nothing",
        "[1].occludes: expected another box, got 2 in front of itself",
        "[1].occludes: no box 5 in this picture",
        "[0].z: expected either z or occludes in a document, got both",
        "width: expected at least 1, got -1",
        "height: expected a value, got nothing",
        "[0].label: expected some text, got ''",
    ]
    assert problems({"boxes": 3, **CANVAS}) == ["boxes: expected a list of objects, got 3"]
    assert problems(7) == ["expected a list of boxes or an object with boxes, got 7"]
    assert problems([{"boxes": [], **CANVAS}, 7]) == ["[1]: expected a list of boxes or an object with boxes, got 7"]


def test_lines_that_are_no_json_are_named():
    source = '{"bbox": [0, 0, 1, 1], "label": "a"}\n{"bbox": [0, 0, 1, }\n{"bbox" 3}\n'
    assert problems(source, **CANVAS) == [
        "line 2, column 20: not JSON: expecting value",
        "line 3, column 9: not JSON: expecting ':' delimiter",
    ]


def test_what_is_written():
    source = {**CANVAS, "boxes": [{**CAT, "z": 2}, {**DOG, "z": 1.5, "id": "dog"}]}
    assert write_layout(read_layout(source, "simpletuner"), "simpletuner") == (
        "{\n"
        '  "prompt": "things",\n'
        '  "width": 640,\n'
        '  "height": 480,\n'
        '  "boxes": [\n'
        '    {"bbox": [0.0, 0.0, 0.5, 1.0], "label": "a cat", "z": 2},\n'
        '    {"bbox": [0.25, 0.0, 1.0, 1.0], "label": "a dog", "z": 1.5, "id": "dog"}\n'
        "  ]\n"
        "}\n"
    )
