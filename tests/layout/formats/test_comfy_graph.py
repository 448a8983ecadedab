"""Boxes in the widgets of ComfyUI's graphs."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from occlusionformer.layout import LayoutError, read_layout, read_layouts
from occlusionformer.layout.formats.comfy_graph import boxes_in_graph, is_graph
from occlusionformer.layout.formats.comfy_shapes import Given

WALL = {"x": 0, "y": 0, "width": 640, "height": 480, "metadata": {"type": "obj", "text": "", "desc": "a wall"}}
CAT = {"x": 160, "y": 120, "width": 320, "height": 240, "metadata": {"type": "obj", "text": "", "desc": "a cat"}}
ELEMENT = {"type": "obj", "bbox": [0, 0, 500, 500], "desc": "a cup"}
CAPTION = {"high_level_description": "a table", "compositional_deconstruction": {"elements": [ELEMENT]}}
EDITOR = {"id": 3, "type": "CreateBoundingBoxes", "outputs": [{"type": "IMAGE"}, {"type": "BOUNDING_BOX"}]}
TOOLS = Path(__file__).resolve().parents[3] / "tools"


def editor(*boxes: Any, **fields: Any) -> dict[str, Any]:
    return {**EDITOR, "widgets_values": [640, 480, list(boxes), [CAT]], **fields}


def graph(*nodes: Any, links: Any = (), subgraphs: Any = ()) -> dict[str, Any]:
    return {"nodes": list(nodes), "links": list(links), "definitions": {"subgraphs": list(subgraphs)}}


def test_the_editors_boxes_with_the_prompt_of_the_node_that_takes_them():
    taker = {"id": "b", "type": "Flux3LayoutPrompt", "widgets_values": ["a room"]}
    found = read_layout(graph(editor(WALL, CAT), taker, links=[[9, 3, 2, "b", 0, "ARRAY"]]), "comfy", prompt="not this")
    assert (found.prompt, found.width, found.height) == ("a room", 640, 480)
    assert [i.caption for i in found.instances] == ["a wall", "a cat"]
    assert found.zorder.edges == {(1, 0)}
    text = json.dumps(graph(editor(WALL, CAT)))
    assert read_layout(text, "comfy", prompt="a hall", list_order="front-to-back").zorder.edges == {(0, 1)}


def test_the_prompt_for_ideogram_is_summary_and_background():
    taker = {"id": 4, "type": "BuildJsonPromptIdeogram", "widgets_values": ["a room", "grey walls", "none"]}
    links = [{"id": 1, "origin_id": 3, "target_id": 4}]
    assert read_layout(graph(editor(CAT), taker, links=links), "comfy").prompt == "a room\ngrey walls"


def test_a_subgraph_is_looked_into():
    inner = {"id": "fold", "nodes": [editor(CAT)], "links": []}
    folded = {"id": 1, "type": "fold", "outputs": [{"type": "BOUNDING_BOX"}]}
    boxes = boxes_in_graph(graph(folded, subgraphs=[inner]), Given(prompt="a"))
    assert [each.path for each in boxes.found] == [("definitions", "subgraphs", 0, "nodes", 0, "widgets_values", 2)]
    assert boxes.computed == ()


def test_a_graph_as_the_server_takes_it():
    document = {
        "3": {
            "class_type": "CreateBoundingBoxes",
            "inputs": {"width": 640, "height": 480, "editor_state": [WALL, CAT]},
        },
        "4": {"class_type": "MOSSImageLayoutPrompt", "inputs": {"prompt": "a room", "element": ["3", 2], "width": 64}},
    }
    assert is_graph(document)
    found = read_layout(document, "comfy")
    assert (found.prompt, found.width, len(found.instances)) == ("a room", 640, 2)


def test_captions_and_lists_in_texts():
    texts = [
        json.dumps(CAPTION),
        json.dumps([ELEMENT, ELEMENT]),
        f"a room <cup_1>. {json.dumps([{'id': 'cup_1', 'bbox': [0, 0, 9, 9], 'desc': 'a cup'}])}",
        json.dumps(
            {"version": 1, "canvas": [64, 48], "layers": [{"x": 0, "y": 0, "w": 9, "h": 9, "z_index": 1, "name": "x"}]}
        ),
        'no box: "bbox" [1, 2]',
        "{",
        json.dumps({"bbox": [0, 0, 1, 1]}),
    ]
    nodes = [{"id": place, "type": "CLIPTextEncode", "widgets_values": [text]} for place, text in enumerate(texts)]
    found = read_layouts(graph(*nodes), "comfy", prompt="a hall", width=64, height=48)
    assert [(each.prompt, len(each.instances)) for each in found] == [
        ("a table", 1),
        ("a hall", 2),
        ("a room", 1),
        ("a hall", 1),
    ]
    [named] = read_layouts(
        graph({"type": "x", "widgets_values": {"boxes": [WALL]}}), "comfy", prompt="a", width=640, height=480
    )
    assert named.instances[0].caption == "a wall"


def test_what_a_node_cuts_out_is_no_layout():
    crop = {"id": 1, "type": "ImageCropV2", "widgets_values": [{"x": 0, "y": 0, "width": 9, "height": 9}]}
    assert boxes_in_graph(graph(crop), Given()).found == ()


def test_a_graph_without_boxes_says_why():
    detector = {"id": 1, "type": "RTDETR_detect", "outputs": [{"type": "BOUNDING_BOX"}], "widgets_values": [0.5]}
    with pytest.raises(LayoutError) as caught:
        read_layout(graph(editor(), detector), "comfy")
    assert caught.value.problems == [
        "nodes: expected a node with boxes, got 1 without a box, 1 whose boxes are known once the graph has run"
    ]
    assert boxes_in_graph(graph(detector), Given()).computed == ("RTDETR_detect",)


def test_every_problem_of_every_node_is_told():
    wide = {**CAT, "x": 400}
    nodes = [editor(wide, {**WALL, "metadata": {"desc": ""}}), {"type": "x", "widgets_values": [json.dumps(CAPTION)]}]
    with pytest.raises(LayoutError) as caught:
        read_layouts(graph(*nodes), "comfy")
    assert caught.value.problems == [
        "nodes[0].widgets_values[2][0]: expected x2 from 0 to 640, got 720.0",
        "nodes[0].widgets_values[2].prompt: expected a value, got nothing",
        "nodes[0].widgets_values[2][1].metadata.desc: expected some text, got ''",
        "nodes[1].widgets_values[0].width: expected a value, got nothing",
        "nodes[1].widgets_values[0].height: expected a value, got nothing",
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {"nodes": []},
        {
            "nodes": [7, {}, {"id": [], "type": None, "widgets_values": 5, "outputs": 3}],
            "links": [7, [1], {"origin_id": []}],
        },
        {"nodes": [{"type": "CreateBoundingBoxes", "widgets_values": [None, {}, [7]]}], "definitions": []},
        {"nodes": [], "definitions": {"subgraphs": [{"id": 1, "nodes": {}}, 5, {"nodes": [{}]}]}},
        {"1": {"class_type": [], "inputs": 5}, "2": {"class_type": "x", "inputs": {"a": ["1", 0], "b": [WALL, 7]}}},
    ],
)
def test_any_graph_is_read_or_refused(odd):
    with pytest.raises(LayoutError):
        read_layouts(odd, "comfy")


def test_the_graphs_of_comfyuis_templates(monkeypatch: pytest.MonkeyPatch):
    """What docs/formats.md says of comfyui-workflow-templates-json; `make test-comfy` has that version of it."""
    pytest.importorskip("comfyui_workflow_templates_json")
    if version("comfyui-workflow-templates-json") != "0.1.123":
        pytest.skip("another version of the templates is installed")
    monkeypatch.syspath_prepend(str(TOOLS))
    comfy_graphs = pytest.importorskip("comfy_graphs")
    monkeypatch.delitem(sys.modules, "comfy_graphs", raising=False)
    folder = comfy_graphs.templates()
    graphs = [each for each in comfy_graphs.seen_in(folder, Given()) if each is not None]
    ways = [("layouts", 6), ("refused", 6), ("empty", 2), ("computed", 9)]
    assert len(graphs) == 644
    assert {way: sum(bool(getattr(each, way)) for each in graphs) for way, _ in ways} == dict(ways)
    lacking = [problem.split(".")[-1].split(":")[0] for each in graphs for problem in each.refused]
    assert [lacking.count(name) for name in ("prompt", "width", "height")] == [2, 3, 3]
    given = Given(prompt="a picture", width=1024, height=1024)
    again = [each for each in comfy_graphs.seen_in(folder, given) if each is not None]
    assert sum(bool(each.layouts) for each in again) == 11
    assert {each.name: each.refused for each in again if each.refused} == {
        "image_moss_image_t2i_bboxes.json": ("nodes[5].widgets_values[2][5]: expected x2 from 0 to 1024, got 1035.0",)
    }
