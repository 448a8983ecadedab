"""Captions of image models that have boxes: Ideogram 4, FLUX 3 and Ming-Image."""

from __future__ import annotations

import json
from typing import Any

import pytest

from occlusionformer.layout import (
    Box,
    FrontToBack,
    Instance,
    Layout,
    LayoutError,
    Pair,
    Pairs,
    read_layout,
    write_layout,
)
from occlusionformer.layout.formats.flux3_words import read_sentences
from tests.tables import for_each

GIVEN: dict[str, Any] = {"width": 640, "height": 480}
CAT = Instance(id="cat_1", caption="a cat", box=Box(0, 0, 0.5, 0.5))
VASE = Instance(id="vase_1", caption="a vase", box=Box(0.25, 0.25, 1, 1))
WALL = Instance(id="wall_1", caption="a wall", box=Box(0, 0, 1, 1))


def layout(order: Any = None, prompt: str = "a room", instances: Any = (CAT, VASE, WALL)) -> Layout:
    return Layout(prompt=prompt, **GIVEN, instances=instances, order=order)


def pairs(*names: tuple[str, str]) -> Pairs:
    return Pairs(pairs=[Pair(front=front, behind=behind) for front, behind in names])


def problems(source: Any, form: str, **given: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layout(source, form, **given)
    return caught.value.problems


IDEOGRAM = {
    "high_level_description": "a room",
    "style_description": {"medium": "photograph"},
    "compositional_deconstruction": {
        "background": "grey walls",
        "elements": [
            {"type": "obj", "bbox": [0, 0, 1000, 1000], "desc": "a wall"},
            {"type": "text", "bbox": [100, 200, 300, 400], "text": "SALE", "desc": "red letters"},
        ],
    },
}


def test_ideogram_lists_elements_from_back_to_front():
    found = read_layout(IDEOGRAM, "ideogram4", **GIVEN)
    assert found.prompt == "a room\ngrey walls"
    assert [(i.caption, list(i.box)) for i in found.instances] == [
        ("a wall", [0, 0, 1, 1]),
        ('text "SALE": red letters', [0.2, 0.1, 0.4, 0.3]),
    ]
    assert found.order == FrontToBack(front_to_back=["2", "1"])


def test_the_fields_of_an_ideogram_caption_are_in_their_order():
    found = read_layout(IDEOGRAM, "ideogram4", **GIVEN)
    document = json.loads(write_layout(found, "ideogram4", lossy=True))
    assert list(document) == ["aspect_ratio", "high_level_description", "compositional_deconstruction"]
    assert document["aspect_ratio"] == "4:3"
    parts = document["compositional_deconstruction"]
    assert list(parts) == ["background", "elements"]
    assert [list(element) for element in parts["elements"]] == [
        ["type", "bbox", "desc"],
        ["type", "bbox", "text", "desc"],
    ]
    assert parts == {**IDEOGRAM["compositional_deconstruction"]}
    assert document["high_level_description"] == "a room"


def test_a_prompt_of_one_line_is_description_and_background():
    document = json.loads(write_layout(layout(), "ideogram4", lossy=True))
    assert document["high_level_description"] == document["compositional_deconstruction"]["background"] == "a room"


def test_every_problem_of_an_ideogram_caption_is_told():
    parts = {
        "background": 7,
        "elements": [{"type": "obj", "desc": "a"}, {"type": "sound", "bbox": [0, 0, 1001, 5], "desc": ""}, 5],
        "hue": 1,
    }
    assert problems(
        {"high_level_description": " ", "mood": "dark", "compositional_deconstruction": parts}, "ideogram4"
    ) == [
        "mood: unknown field; expected aspect_ratio, high_level_description, style_description or "
        "compositional_deconstruction",
        "compositional_deconstruction.hue: unknown field; expected background or elements",
        "compositional_deconstruction.background: expected text, got 7",
        "compositional_deconstruction.elements[2]: expected an object, got 5",
        "compositional_deconstruction.elements[0].bbox: expected a value, got nothing",
        "compositional_deconstruction.elements[1].type: expected obj or text, got 'sound'",
        "compositional_deconstruction.elements[1].bbox: expected y2 from 0 to 1000, got 1001",
        "high_level_description: expected some text, got ''",
        "width: expected a value, got nothing",
        "height: expected a value, got nothing",
        "compositional_deconstruction.elements[1].desc: expected some text, got ''",
    ]
    assert "compositional_deconstruction: expected an object with background and elements, got nothing" in problems(
        {}, "ideogram4"
    )


@for_each(
    ("order", "words"),
    [
        (None, "a room <cat_1>. <vase_1>. <wall_1>."),
        (
            FrontToBack(front_to_back=["vase_1", "cat_1", "wall_1"]),
            "a room <vase_1> in front of <cat_1> in front of <wall_1>.",
        ),
        (pairs(("cat_1", "vase_1")), "a room <cat_1> in front of <vase_1>. <wall_1>."),
    ],
)
def test_flux_cites_every_box_once_and_says_who_is_in_front(order, words):
    before = layout(order)
    text = write_layout(before, "flux3", lossy=True)
    caption, _, table = text.partition(" [")
    assert caption == words
    assert json.loads("[" + table) == [
        {"id": "cat_1", "bbox": [0, 0, 500, 500], "desc": "a cat"},
        {"id": "vase_1", "bbox": [250, 250, 1000, 1000], "desc": "a vase"},
        {"id": "wall_1", "bbox": [0, 0, 1000, 1000], "desc": "a wall"},
    ]
    after = read_layout(text, "flux3", **GIVEN)
    assert (after.prompt, after.instances) == (before.prompt, before.instances)
    assert after.zorder == before.zorder


def test_flux_says_several_orders_in_several_sentences():
    chair, table = (Instance(id=f"{noun}_1", caption=noun, box=Box(0, 0, 1, 1)) for noun in ("chair", "table"))
    before = layout(pairs(("cat_1", "vase_1"), ("table_1", "chair_1")), instances=(CAT, VASE, chair, table))
    text = write_layout(before, "flux3", lossy=True)
    assert text.startswith("a room <cat_1> in front of <vase_1>. <table_1> in front of <chair_1>. [")
    assert read_layout(text, "flux3", **GIVEN).zorder == before.zorder


def test_flux_reads_an_order_from_no_other_words():
    elements = [{"id": f"{noun}_1", "bbox": [0, 0, 9, 9], "desc": noun} for noun in ("cat", "vase")]
    table = json.dumps(elements)
    for caption in (
        "a <cat_1> in front of a <vase_1>.",
        "a <cat_1> behind <vase_1>.",
        "a room. <cat_1> In front of <vase_1>.",
        "a room <cat_1> in front of <vase_1>",
        "a room <cat_1> in front of <vase_1>. Light from the left.",
    ):
        found = read_layout(f"{caption} {table}", "flux3", **GIVEN)
        assert found.order is None
        assert found.prompt.startswith(caption[:5])


def test_flux_does_not_cite_again_what_the_prompt_cites():
    text = write_layout(layout(prompt="a <cat_1> beside things"), "flux3", lossy=True)
    assert text.startswith("a <cat_1> beside things <vase_1>. <wall_1>. [")
    assert read_layout(text, "flux3", **GIVEN).prompt == "a <cat_1> beside things"


def test_the_first_word_that_does_not_fit_is_the_prompts():
    places = {"a_1": 0, "b_1": 1, "c_1": 2}
    assert read_sentences("x in front of <a_1>.", places) == ("x in front of", [[0]])
    assert read_sentences("x <d_1> in front of <a_1>.", places) == ("x <d_1> in front of", [[0]])
    assert read_sentences("x <a_1>. <b_1> in front of <a_1>.", places) == ("x <a_1>.", [[1, 0]])
    assert read_sentences("x <c_1> in front of <b_1> in front of <a_1>.", places) == ("x", [[2, 1, 0]])
    assert read_sentences("x <a_1>", places) == ("x <a_1>", [])
    assert read_sentences("<a_1>.", places) == ("<a_1>.", [])


def test_ids_become_a_noun_and_a_number():
    instances = [Instance(id=name, caption="a", box=Box(0, 0, 1, 1)) for name in ("Cat!", "cat_1", "cat 9", "7", "Ü")]
    text = write_layout(layout(instances=instances), "flux3", lossy=True)
    assert [row["id"] for row in json.loads(text[text.index("[{") :])] == ["cat_2", "cat_1", "cat_3", "obj_1", "obj_2"]


def test_what_looks_like_a_table_may_stand_in_a_prompt_and_a_description():
    odd = Instance(id="a_1", caption='[{"id": "b"}] and [] ', box=Box(0, 0, 1, 1))
    before = layout(prompt='["x"] [{"id": 1}] [] ', instances=(odd,))
    after = read_layout(write_layout(before, "flux3", lossy=True), "flux3", **GIVEN)
    assert (after.prompt, after.instances) == (before.prompt, before.instances)


def test_every_problem_of_a_flux_caption_is_told():
    assert problems("a room", "flux3") == ["expected words, one space and a JSON list of boxes, got 'a room'"]
    assert problems('a room [{"id": "a_1", }]', "flux3")[0].startswith("the list of boxes: line 1, column ")
    rows = [{"id": "a_1", "bbox": [0, 0, 9], "desc": "a", "from": "x"}, {"bbox": [5, 0, 5, 9], "desc": 7}, 7]
    assert problems(f"a room {json.dumps(rows)}", "flux3") == [
        "elements[2]: expected an object, got 7",
        "elements[0].from: unknown field; expected id, bbox or desc",
        "elements[0].bbox: expected four numbers y1, x1, y2, x2, got [0, 0, 9]",
        "elements[1].id: expected a value, got nothing",
        "elements[1].bbox: expected y1 < y2, got 5 and 5",
        "width: expected a value, got nothing",
        "height: expected a value, got nothing",
        "elements[1].id: expected text, got nothing",
        "elements[1].desc: expected text, got 7",
    ]
    assert problems({"caption": 7}, "flux3", **GIVEN) == [
        "elements: expected a list of objects, got nothing",
        "caption: expected text, got 7",
        "prompt: expected a value, got nothing",
    ]
    assert problems('a [{"id": "a_1", "bbox": [NaN, 0, 9, 9], "desc": "a"}]', "flux3", **GIVEN) == [
        "elements[0].bbox: expected y1 to be a finite number, got nan"
    ]


def test_ming_begins_with_the_background_and_says_relations_in_words():
    before = layout(FrontToBack(front_to_back=["cat_1", "vase_1", "wall_1"]))
    document = json.loads(write_layout(before, "ming", lossy=True))
    assert document["canvas_settings"]["aspect_ratio"] == "4:3, 640 × 480 px"
    assert [(row["description"], row["coordinates"], row["hierarchy_and_relation"]) for row in document["layers"]] == [
        ("a room", "cx: 0.500, cy: 0.500, w: 1.000, h: 1.000", "The background, behind all other layers."),
        ("a wall", "cx: 0.500, cy: 0.500, w: 1.000, h: 1.000", "Behind layers 3, 4."),
        ("a vase", "cx: 0.625, cy: 0.625, w: 0.750, h: 0.750", "In front of layer 2, behind layer 4."),
        ("a cat", "cx: 0.250, cy: 0.250, w: 0.500, h: 0.500", "In front of layers 2, 3."),
    ]
    after = read_layout(document, "ming")
    assert (after.prompt, after.width, after.height) == ("a room", 640, 480)
    assert [i.caption for i in after.instances] == ["a wall", "a vase", "a cat"]
    assert after.order == FrontToBack(front_to_back=["3", "2", "1"])


def test_ming_names_the_nearest_layers_alone():
    everywhere = [Instance(id=str(k), caption="a", box=Box(0, 0, 1, 1)) for k in range(30)]
    document = json.loads(write_layout(layout(instances=everywhere), "ming", lossy=True))
    words = [row["hierarchy_and_relation"] for row in document["layers"]]
    assert words[1] == "Behind layers 3, 4, 5, 6, 7, 8, 9, 10."
    assert words[15] == "In front of layers 8, 9, 10, 11, 12, 13, 14, 15, behind layers 17, 18, 19, 20, 21, 22, 23, 24."
    apart = [Instance(id="1", caption="a", box=Box(0, 0, 0.5, 1)), Instance(id="2", caption="b", box=Box(0.5, 0, 1, 1))]
    document = json.loads(write_layout(layout(instances=apart), "ming", lossy=True))
    assert document["layers"][2]["hierarchy_and_relation"] == "In front of the background."


def test_ming_without_a_background_or_pixels_needs_prompt_and_canvas():
    layers = [{"description": "a cat", "coordinates": "cx: 0.5, cy: 0.5, w: 0.5, h: 0.25"}]
    document = {"canvas_settings": {"aspect_ratio": "16:9"}, "layers": layers}
    found = read_layout(document, "ming", prompt="a room", **GIVEN)
    assert (found.prompt, list(found.instances[0].box)) == ("a room", [0.25, 0.375, 0.75, 0.625])
    assert problems(document, "ming") == [
        "layers: expected a first box that covers the canvas, or a prompt from the caller, got neither",
        "prompt: expected a value, got nothing",
        "width: expected a value, got nothing",
        "height: expected a value, got nothing",
    ]


def test_every_problem_of_a_ming_caption_is_told():
    layers = [
        {"description": "a room", "coordinates": "cx: 0.5, cy: 0.5, w: 1, h: 1", "hue": 1},
        {"description": "", "coordinates": "cx: 0.1, cy: 0.5, w: 0.5, h: 1"},
        {"coordinates": [0, 0, 1, 1]},
        {"description": "b", "coordinates": "cx: NaN, cy: 0.5, w: 0.5, h: 1"},
        "a cup",
    ]
    document = {"canvas_settings": {"aspect_ratio": "4:3, 640 x 480 px", "light": 1}, "layers": layers}
    assert problems(document, "ming", prompt="a hall", width=640) == [
        "canvas_settings.light: unknown field; expected aspect_ratio, ambient_lighting or image_style",
        "width: expected a value in the document or from the caller, got both",
        "layers[4]: expected an object, got 'a cup'",
        "layers[0].hue: unknown field; expected description, coordinates, hierarchy_and_relation or color_specs",
        "layers[1].coordinates: expected a box inside the canvas with a width and a height above 0, "
        "got 'cx: 0.1, cy: 0.5, w: 0.5, h: 1'",
        'layers[2].coordinates: expected text like "cx: 0.500, cy: 0.500, w: 0.650, h: 0.680", got [0, 0, 1, 1]',
        'layers[3].coordinates: expected text like "cx: 0.500, cy: 0.500, w: 0.650, h: 0.680", '
        "got 'cx: NaN, cy: 0.5, w: 0.5, h: 1'",
        "layers[0].description: expected a box that covers the canvas or a prompt from the caller, got both",
        "layers[1].description: expected some text, got ''",
        "layers[2].description: expected a value, got nothing",
    ]
