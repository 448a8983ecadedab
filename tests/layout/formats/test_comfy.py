"""Boxes of ComfyUI's nodes in their three shapes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from occlusionformer.layout import Box, Depths, FrontToBack, Instance, Layout, LayoutError, read_layout, read_layouts
from occlusionformer.layout.formats.comfy import boxes_of, elements_of, layers_of, layout_of, layouts_of, shape_of
from tests.clock import bounded
from tests.tables import for_each

GIVEN: dict[str, Any] = {"prompt": "things", "width": 640, "height": 480}
BACK = {"x": 0, "y": 0, "width": 640, "height": 480, "metadata": {"type": "obj", "text": "", "desc": "a wall"}}
FRONT = {"x": 160, "y": 120, "width": 320, "height": 240, "metadata": {"type": "obj", "desc": "a cat", "name": "cat"}}


def layout(order: Any = None) -> Layout:
    instances = [
        Instance(id="cat", caption="a cat", box=Box(0.25, 0.25, 0.75, 0.75)),
        Instance(id="sign", caption='text "SALE": red letters', box=Box(0, 0, 0.5, 1), opacity=0.5),
        Instance(id="wall", caption="a wall", box=Box(0, 0, 1, 1)),
    ]
    return Layout(**GIVEN, instances=instances, order=order or FrontToBack(front_to_back=["sign", "cat", "wall"]))


def problems(value: Any, **given: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        layouts_of(value, **{**GIVEN, **given})
    return caught.value.problems


def test_a_list_of_boxes_goes_from_back_to_front():
    found = layout_of([BACK, FRONT], **GIVEN)
    assert [(i.id, i.caption, list(i.box)) for i in found.instances] == [
        ("1", "a wall", [0, 0, 1, 1]),
        ("cat", "a cat", [0.25, 0.25, 0.75, 0.75]),
    ]
    assert found.order == FrontToBack(front_to_back=["cat", "1"])
    assert layout_of([BACK, FRONT], **GIVEN, list_order="front-to-back").zorder.edges == {(0, 1)}
    assert layout_of([BACK, FRONT], **GIVEN, list_order="none").order is None
    assert layout_of(json.dumps([BACK, FRONT]), **GIVEN) == found
    assert read_layout([BACK, FRONT], "comfy", **GIVEN) == found


def test_one_box_has_no_order():
    assert layout_of(FRONT, **GIVEN) == layout_of([FRONT], **GIVEN) == layout_of([[FRONT]], **GIVEN)
    assert layout_of(FRONT, **GIVEN).order is None
    assert layout_of([], **GIVEN).instances == ()


def test_detectors_sort_by_score_and_declare_no_order():
    found = [{"x": 0, "y": 0, "width": 9, "height": 9, "label": name, "score": 0.5} for name in ("cat", "dog")]
    assert layout_of(found, **GIVEN).order is None
    assert [i.caption for i in layout_of(found, **GIVEN).instances] == ["cat", "dog"]
    assert layout_of(found, **GIVEN, list_order="back-to-front").zorder.edges == {(1, 0)}


def test_a_frame_is_a_layout():
    first, second = layouts_of([[BACK], [BACK, FRONT]], **GIVEN)
    assert (len(first.instances), len(second.instances)) == (1, 2)
    with pytest.raises(LayoutError, match=r"^expected boxes of one frame, got 2$"):
        layout_of([[BACK], [BACK, FRONT]], **GIVEN)


def test_frames_are_counted():
    with bounded(1):
        assert problems([[]] * 200_000) == ["expected at most 4096 frames, got 200000"]


def test_the_height_of_a_box_comes_before_the_list():
    high, low = ({**box, "metadata": {"desc": "a", "z_index": z}} for box, z in ((BACK, 3), (FRONT, 1)))
    assert layout_of([high, low], **GIVEN).zorder.edges == {(0, 1)}
    assert layout_of([high, low], **GIVEN, list_order="none").order == Depths(depths={"1": -3, "2": -1})
    assert problems([high, FRONT]) == ["[1].metadata.z_index: expected a finite number, got nothing"]


def test_what_is_not_empty_of_a_box_is_the_box():
    padded = {
        "x": 160,
        "y": 0,
        "width": 480,
        "height": 480,
        "metadata": {"desc": "a", "content_rect": [0, 120, 160, 120]},
    }
    assert list(layout_of([padded], **GIVEN).instances[0].box) == [0.25, 0.25, 0.5, 0.5]


def test_captions_may_come_from_elsewhere():
    bare = {"x": 0, "y": 0, "width": 9, "height": 9}
    assert problems([bare]) == ["[0].metadata.desc: expected a value, got nothing"]
    found = layout_of([bare, FRONT, BACK], **GIVEN, captions=["a mouse", "", "a door"])
    assert [i.caption for i in found.instances] == ["a mouse", "a cat", "a door"]
    assert problems([bare, FRONT], captions=["a mouse"]) == ["captions: expected 2, one for each box, got 1"]


def test_elements_are_on_a_grid_of_a_thousand():
    elements = [
        {"type": "obj", "bbox": [0, 100, 500, 1000], "desc": "a cat", "color_palette": ["#FFFFFF"]},
        {"type": "text", "bbox": [0, 0, 1000, 250], "text": "SALE", "desc": "red letters"},
        {"type": "text", "bbox": [0, 0, 1000, 250], "text": "50%"},
    ]
    found = layout_of(elements, **GIVEN)
    assert [(i.caption, list(i.box)) for i in found.instances] == [
        ("a cat", [0.1, 0, 1, 0.5]),
        ('text "SALE": red letters', [0, 0, 0.25, 1]),
        ('text "50%"', [0, 0, 0.25, 1]),
    ]
    assert found.order == FrontToBack(front_to_back=["3", "2", "1"])
    assert [row["text"] for row in elements_of(found)[1:]] == ["SALE", "50%"]


def test_layers_are_in_the_order_of_their_height():
    layers = [
        {"x": 0, "y": 0, "w": 64, "h": 48, "z_index": 5, "name": "a cat", "opacity": 0.5, "blend_mode": "multiply"},
        {"x": 0, "y": 0, "w": 64, "h": 48, "z_index": 0, "name": "a wall"},
        {
            "x": 32,
            "y": 0,
            "image": SimpleNamespace(shape=(1, 48, 32, 3)),
            "mask": object(),
            "name": "a door",
            "z_index": 0,
        },
    ]
    stack = {"version": 1, "canvas": (64, 48), "layers": layers}
    found = layout_of(stack, prompt="a room")
    assert (found.width, found.height) == (64, 48)
    assert [(i.caption, i.opacity) for i in found.instances] == [("a cat", 0.5), ("a wall", 1), ("a door", 1)]
    assert list(found.instances[2].box) == [0.5, 0, 1, 1]
    assert found.order == FrontToBack(front_to_back=["1", "3", "2"])
    assert layout_of(stack, prompt="a", list_order="none").zorder.edges == {(0, 1), (0, 2)}


@for_each("list_order", ["back-to-front", "front-to-back"])
@for_each("write", [boxes_of, elements_of, layers_of])
def test_what_is_written_is_read(write, list_order):
    before = layout()
    value = write(before, list_order)
    after = layout_of(value, **GIVEN, list_order=list_order)
    assert shape_of(value) == write.__name__.removesuffix("_of")
    places = {i.caption: place for place, i in enumerate(after.instances)}
    assert [list(after.instances[places[i.caption]].box) for i in before.instances] == [
        list(i.box) for i in before.instances
    ]
    cat, sign, wall = (places[i.caption] for i in before.instances)
    assert after.zorder.edges == {(sign, cat), (sign, wall), (cat, wall)}


def test_boxes_are_whole_pixels_and_never_vanish():
    thin = Instance(id="1", caption="a thread", box=Box(0.5, 0, 0.5001, 1))
    (row,) = boxes_of(Layout(**GIVEN, instances=[thin]))
    assert (row["x"], row["width"], row["height"]) == (320, 1, 480)
    (element,) = elements_of(Layout(**GIVEN, instances=[thin]))
    assert element["bbox"] == [0, 500, 1000, 501]


def test_every_problem_of_boxes_is_told():
    rows = [
        {"x": 0, "y": 0, "width": 641, "height": 0, "metadata": {"desc": ""}},
        {"x": -1, "width": 5, "height": 5, "colour": 1, "metadata": {"type": "thing", "desc": 7, "hue": 1}},
        "a box",
        {**FRONT, "metadata": [1]},
    ]
    assert problems(rows, width=-1) == [
        "[2]: expected an object, got 'a box'",
        "[0]: expected a height above 0, got 0",
        "[1].colour: unknown field; expected x, y, width, height, metadata, label or score",
        "[1].metadata.hue: unknown field; expected type, text, desc, palette, name, z_index, native_size, "
        "content_rect or flags",
        "[1].metadata.type: expected obj or text, got 'thing'",
        "[1].y: expected a value, got nothing",
        "[3].metadata: expected an object, got [1]",
        "width: expected at least 1, got -1",
        "[0].metadata.desc: expected some text, got ''",
        "[1].metadata.desc: expected text, got 7",
        "[3].metadata.desc: expected a value, got nothing",
    ]
    assert problems(7) == ["expected a list of objects, got 7"]
    assert problems([BACK], list_order="up") == ["list_order: expected back-to-front, front-to-back or none, got 'up'"]
    assert problems([{**BACK, "x": float("nan")}]) == ["[0].x: expected a finite number, got nan"]


def test_every_problem_of_layers_is_told():
    stack = {
        "version": 2,
        "canvas": [64],
        "layers": [
            {"x": 0, "y": 0, "w": 9, "z_index": "top", "rotation": 0.5, "type": "svg", "name": "a"},
            {"x": -4, "y": 0, "w": 9, "h": 9, "name": "b", "opacity": 2, "z_index": 1},
        ],
        "extra": 1,
    }
    assert problems(stack) == [
        "extra: unknown field; expected version, canvas or layers",
        "version: expected 1, got 2",
        "canvas: expected width and height, got [64]",
        "layers[0].rotation: expected 0, a box cannot be turned, got 0.5",
        "layers[0].type: expected raster, got 'svg'",
        "layers[0].h: expected a value, got nothing",
        "layers[1]: expected x1 from 0 to 640, got -4.0",
        "layers[0].z_index: expected a finite number, got 'top'",
        "layers[1].opacity: expected at most 1, got 2",
    ]
    assert problems({"canvas": [64, 48], "layers": []}, width=640, height=48) == [
        "canvas[0]: expected 640 as given, got 64"
    ]


def test_prompt_and_canvas_have_to_be_given():
    with pytest.raises(LayoutError) as caught:
        read_layouts([BACK], "comfy")
    assert caught.value.problems == [
        "prompt: expected a value, got nothing",
        "width: expected a value, got nothing",
        "height: expected a value, got nothing",
    ]
