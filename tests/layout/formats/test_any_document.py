"""Whatever a document holds, it is read or refused with a LayoutError: no other error, and nothing half read."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import FORMATS, LayoutError, read_layouts
from tests.properties import examples
from tests.tables import for_each

FULL = {"size": [48, 64], "counts": [0, 3072]}
MASK = {"size": [4, 5], "counts": [0, 20]}

DOCUMENTS: dict[str, Any] = {
    "native": {
        "version": 1,
        "prompt": "things",
        "width": 64,
        "height": 48,
        "seed": 3,
        "instances": [
            {"id": "a", "caption": "a cat", "box": [0, 0, 1, 0.5], "region": {"points": [[0, 0], [1, 0], [1, 1]]}},
            {"id": "b", "caption": "a dog", "box": [0, 0, 1, 1], "region": MASK, "opacity": 0.5, "category": "dog"},
        ],
        "order": {"pairs": [{"front": "a", "behind": "b"}]},
        "cycles": "break",
        "closure": True,
    },
    "published": {
        "prompt": "things",
        "width": 64,
        "height": 48,
        "seed": 3,
        "annos": [
            {"bbox": [0, 0, 64, 48], "caption": "a cat", "category": "cat", "occludes": "2"},
            {"bbox": [0, 0, 9.5, 8], "caption": "a dog", "category_name": "", "occludes": [], "id": "dog"},
        ],
    },
    "sa-z": {
        "prompt": "things",
        "mask_annotation": [
            {"id": 5, "bbox": [0, 0, 2, 2], "segmentation": MASK, "caption": "a cat"},
            {"id": 6, "bbox": [1, 0, 2.5, 2], "segmentation": MASK, "caption": "a dog", "instance_id": "dog"},
        ],
        "pred_order": [[0, 1], [1, 0]],
    },
    "overlaybench": {
        "caption": "things",
        "annotations": {
            "cat": {"category": "cat", "bbox": [0, 0, 1024, 48], "local_prompts": "a cat"},
            "dog": {"category": "dog", "bbox": [0, 0, 9.5, 8], "local_prompts": "a dog"},
        },
        "relations": {"(cat, dog)": "beside"},
        "valid_overlap": [{"overlap_box": [0, 1]}],
    },
    "coco": {
        "images": [{"id": 1, "width": 64, "height": 48, "caption": "things"}],
        "annotations": [
            {"id": 5, "image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 2, "segmentation": [[0, 0, 9, 0, 9, 9]]},
            {"id": 6, "image_id": 1, "bbox": [0, 0, 9, 9], "caption": "a dog", "segmentation": FULL, "z": 2},
        ],
        "categories": [{"id": 2, "name": "cat"}],
    },
    "simpletuner": {
        "prompt": "things",
        "width": 64,
        "height": 48,
        "boxes": [
            {"bbox": [0, 0, 1, 0.5], "label": "a cat", "occludes": "2", "id": "cat"},
            {"bbox": [0, 0, 1, 0.5], "text": "a dog", "occludes": [1]},
        ],
    },
    "comfy": [
        {"x": 0, "y": 0, "width": 64, "height": 8, "metadata": {"desc": "a cat", "name": "cat", "z_index": 1}},
        {"x": 1, "y": 2, "width": 9, "height": 8, "metadata": {"type": "text", "text": "a", "desc": "", "z_index": 2}},
    ],
    "ideogram4": {
        "aspect_ratio": "4:3",
        "high_level_description": "things",
        "style_description": {"medium": "photograph"},
        "compositional_deconstruction": {
            "background": "a room",
            "elements": [
                {"type": "obj", "bbox": [0, 0, 500, 1000], "desc": "a cat", "color_palette": ["#FFFFFF"]},
                {"type": "text", "bbox": [0, 0, 9, 8], "text": "SALE", "desc": ""},
            ],
        },
    },
    "flux3": {
        "caption": "things <cat_1> in front of <dog_1>. <cup_1>.",
        "elements": [
            {"id": "cat_1", "bbox": [0, 0, 500, 1000], "desc": "a cat"},
            {"id": "dog_1", "bbox": [0, 0, 9, 8], "desc": "a dog"},
            {"id": "cup_1", "bbox": [0, 0, 9, 8], "desc": "a cup"},
        ],
    },
    "ming": {
        "canvas_settings": {"aspect_ratio": "4:3, 64 × 48 px", "ambient_lighting": "", "image_style": ""},
        "layers": [
            {"description": "things", "coordinates": "cx: 0.500, cy: 0.500, w: 1.000, h: 1.000", "color_specs": []},
            {"description": "a cat", "coordinates": "cx: 0.250, cy: 0.500, w: 0.500, h: 1.000"},
            {"description": "a dog", "coordinates": "cx: 0.25, cy: 0.5, w: 0.1, h: 0.1", "hierarchy_and_relation": "-"},
        ],
    },
    "gligen": {
        "prompt": "things",
        "width": 64,
        "height": 48,
        "phrases": ["a cat", "a dog"],
        "locations": [[0, 0, 1, 0.5], [0, 0, 0.5, 1]],
    },
    "gligen-diffusers": {
        "prompt": "things",
        "width": 64,
        "height": 48,
        "gligen_phrases": ["a cat", "a dog"],
        "gligen_boxes": [[0, 0, 1, 0.5], [0, 0, 0.5, 1]],
    },
    "larender": {
        "objects": ["things", "a cat", "a dog"],
        "locations": [[0, 1, 0, 1], [0, 0.5, 0, 1], [0, 1, 0.5, 1]],
        "alpha": [0.8, 0.5, 0.8],
        "width": 64,
        "height": 48,
        "seed": 3,
    },
    "omost": {
        "set_global_description": {"description": "things", "tags": "a, b"},
        "add_local_description": [
            {
                "location": "on the left",
                "offset": "no offset",
                "area": "a small square area",
                "distance_to_viewer": 1.5,
                "description": "a cat",
            },
            {
                "location": "in the center",
                "offset": "slightly to the left",
                "area": "a large horizontal area",
                "distance_to_viewer": 3,
                "description": "a dog",
            },
        ],
    },
}
GIVEN = {"prompt": "things", "width": 64, "height": 48, "cycles": "allow"}
"""What readers are told where a document does not say it."""

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([10**400, -(10**400), 2**64, 5e-324, 1e308, float("nan"), float("inf"), -0.0, 0.5]),
    st.sampled_from(["", " ", "a", "1", "1,2", ",", "\ud800", "\x00", "o" * 50, "²", "error"]),
)
names = st.sampled_from(["a", "bbox", "id", "size", "points", "self", "cls", ""]) | leaves
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in places(part, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], change: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return change
    whole = copy.deepcopy(value)
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = change
    return whole


def refused(document: Any, form: str) -> bool:
    layouts, problems = [], []
    try:
        known = FORMATS[form].needs | (FORMATS[form].options & {"cycles"})
        layouts = read_layouts(document, form, **{name: GIVEN[name] for name in known})
    except LayoutError as error:
        problems = error.problems
        message = str(error)
    if problems:
        assert len(set(problems)) == len(problems)
        assert "pydantic" not in message
    assert all(layout.zorder is None or layout.zorder.num_instances == len(layout.instances) for layout in layouts)
    return bool(problems)


@for_each("form", DOCUMENTS)
def test_the_documents_themselves_are_read(form):
    assert not refused(DOCUMENTS[form], form)
    assert not refused([DOCUMENTS[form], DOCUMENTS[form]], form) or form == "coco"


@pytest.mark.parametrize("form", DOCUMENTS)
@examples(80)
@given(data=st.data())
def test_a_document_with_anything_anywhere_is_read_or_refused(form, data):
    document = DOCUMENTS[form]
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(document)))
        document = changed(document, path, data.draw(values))
    refused(document, form)


@for_each("form", DOCUMENTS)
@for_each("extra", [None, 1, "a", [], {}])
def test_an_unknown_or_missing_field_anywhere_is_read_or_refused(form, extra):
    for path in places(DOCUMENTS[form]):
        document = copy.deepcopy(DOCUMENTS[form])
        part = document
        for key in path:
            part = part[key]
        if isinstance(part, dict):
            for name in list(part):
                value = part.pop(name)
                refused(document, form)
                part[name] = value
            part["no such field"] = extra
            refused(document, form)


@pytest.mark.parametrize("form", DOCUMENTS)
@examples(50)
@given(data=st.data())
def test_a_text_with_a_hole_or_a_stray_character_is_read_or_refused(form, data):
    text = FORMATS[form].to_text(DOCUMENTS[form])
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 5, len(text))))
    refused(text[:start] + data.draw(st.text(max_size=2)) + text[stop:], form)
