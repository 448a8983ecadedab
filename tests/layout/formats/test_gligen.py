"""Arguments of GLIGEN's script and of diffusers' pipelines, and what this format's name meant before."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest

from occlusionformer.layout import Box, Instance, Layout, LayoutError, read_layout, read_layouts, write_layout
from occlusionformer.layout.formats.gligen import RENAMED, WRITTEN
from tests.tables import for_each

CANVAS: dict[str, Any] = {"prompt": "things", "width": 640, "height": 480}
NAMES = [("gligen", "phrases", "locations"), ("gligen-diffusers", "gligen_phrases", "gligen_boxes")]


@for_each(("form", "phrases", "locations"), NAMES)
def test_texts_and_boxes_in_lists_of_their_own(form, phrases, locations):
    document = {
        "prompt": "a room",
        phrases: ["a cat", "a dog"],
        locations: [[0, 0, 0.5, 1], [0.25, 0, 1, 1]],
        "alpha_type": [1, 0],
    }
    layout = read_layout(document, form, width=512, height=512)
    assert [(i.id, i.caption, list(i.box)) for i in layout.instances] == [
        ("1", "a cat", [0, 0, 0.5, 1]),
        ("2", "a dog", [0.25, 0, 1, 1]),
    ]
    assert (layout.prompt, layout.width, layout.order) == ("a room", 512, None)
    assert len(read_layouts([document, document], form, width=512, height=512)) == 2
    assert read_layout({**document, "width": 64, "height": 32}, form).height == 32


@for_each(("form", "phrases", "locations"), NAMES)
def test_what_is_written(form, phrases, locations):
    layout = Layout(**CANVAS, instances=[Instance(id="1", caption="a cat", box=Box(0, 0, 0.5, 1))])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        written = json.loads(write_layout(layout, form))
    assert [str(each.message) for each in caught] == ([WRITTEN] if form == "gligen" else [])
    assert written == {**CANVAS, phrases: ["a cat"], locations: [[0, 0, 0.5, 1]]}


def test_lists_that_do_not_belong_together():
    document = {"prompt": "a", "phrases": ["a cat", 5, "x"], "locations": [[0, 0, 2, 1], "here"], "images": []}
    with pytest.raises(LayoutError) as caught:
        read_layout(document, "gligen", width=64, height=64)
    assert caught.value.problems == [
        "images: unknown field; expected prompt, width, height, phrases, locations, alpha_type, ckpt, "
        "save_folder_name, gligen_scheduled_sampling_beta or num_inference_steps",
        "locations: expected 3 boxes, one for each of phrases, got 2",
        "locations[0]: expected x2 from 0 to 1, got 2",
        "locations[1]: expected four numbers x1, y1, x2, y2, got 'here'",
        "phrases[1]: expected text, got 5",
    ]
    with pytest.raises(LayoutError, match="phrases: expected a list, got nothing"):
        read_layout({"prompt": "a", "locations": []}, "gligen", width=64, height=64)
    with pytest.raises(LayoutError) as caught:
        read_layouts([{**document, "prompt": "a"}, 7], "gligen", prompt="b")
    assert "[0].prompt: expected a value in the document or from the caller, got both" in caught.value.problems
    assert (
        "[1]: expected an object with phrases and locations, or gligen_phrases and gligen_boxes, got 7"
        in caught.value.problems
    )


@for_each(
    "source",
    [
        [{"bbox": [0, 0, 0.5, 1], "label": "a cat", "z": 1}, {"bbox": [0, 0, 1, 1], "label": "a dog", "z": 2}],
        '{"bbox": [0, 0, 0.5, 1], "label": "a cat", "z": 1}\n{"bbox": [0, 0, 1, 1], "label": "a dog", "z": 2}',
        {
            "boxes": [
                {"bbox": [0, 0, 0.5, 1], "label": "a cat", "z": 1},
                {"bbox": [0, 0, 1, 1], "label": "a dog", "z": 2},
            ]
        },
    ],
)
def test_the_name_still_reads_what_it_meant_before_and_says_what_to_write(source):
    with pytest.warns(FutureWarning, match="simpletuner") as caught:
        layout = read_layout(source, "gligen", **CANVAS)
    assert [str(each.message) for each in caught] == [RENAMED]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_layout(source, "simpletuner", **CANVAS) == layout
    assert layout.zorder.edges == {(1, 0)}
