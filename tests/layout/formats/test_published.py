"""The JSON of the published examples."""

from __future__ import annotations

from typing import Any

import pytest

from occlusionformer.generation import instance_text
from occlusionformer.layout import Box, Layout, LayoutError, Pairs, read_layout, read_layouts, write_layout
from tests.tables import for_each


def document(*rows: Any, **fields: Any) -> dict[str, Any]:
    return {"prompt": "a dog and a cat", "height": 512, "width": 1024, "annos": list(rows), **fields}


def row(occludes: Any = None, **fields: Any) -> dict[str, Any]:
    order = {} if occludes is None else {"occludes": occludes}
    return {"bbox": [0, 0, 512, 512], "caption": "a thing", **order, **fields}


def occluders(layout: Layout) -> list[list[int]]:
    assert layout.zorder is not None
    return [sorted(layout.zorder.occluders(place)) for place in range(len(layout.instances))]


def problems(source: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layouts(source, "published")
    return caught.value.problems


def test_a_document():
    layout = read_layout(
        document(
            {"bbox": [0, 128, 512, 512], "caption": "a brown dog", "category_name": "dog", "occludes": "2"},
            {"bbox": [256, 0, 1024, 384.5], "caption": "a cat", "category": "cat", "occludes": ""},
            seed=42,
        ),
        "published",
    )
    assert (layout.prompt, layout.width, layout.height, layout.seed) == ("a dog and a cat", 1024, 512, 42)
    assert [(i.id, i.caption, i.category) for i in layout.instances] == [
        ("1", "a brown dog", "dog"),
        ("2", "a cat", "cat"),
    ]
    assert [i.box for i in layout.instances] == [Box(0, 0.25, 0.5, 1), Box(0.25, 0, 1, 384.5 / 512)]
    assert layout.cycles == "error"


@for_each("occludes", ["2", " 2 ", [2], ["2"], 2, "2,", ",2", "2, ,"])
def test_the_row_that_occludes_is_in_front(occludes):
    assert occluders(read_layout(document(row(occludes), row()), "published")) == [[], [0]]


@pytest.mark.parametrize("occludes", ["2,3", "3, 2", [2, 3], ["3", 2], "2,3,"])
def test_a_row_may_occlude_several(occludes):
    assert occluders(read_layout(document(row(occludes), row(""), row([])), "published")) == [[], [0], [0]]


def test_without_occludes_no_order_is_declared():
    assert read_layout(document(row(), row()), "published").order is None
    assert read_layout(document(row(""), row()), "published").order == Pairs(pairs=[])


def test_mutual_occlusion_needs_a_policy():
    both = document(row("2"), row("1"))
    assert problems(both) == ["annos: z-order loops: 1 > 2 > 1"]
    assert occluders(read_layout(both, "published", cycles="allow")) == [[1], [0]]
    assert occluders(read_layout(both, "published", cycles="break")) == [[], [0]]


def test_a_caption_may_stand_for_the_prompt_and_an_empty_category_is_none():
    fields = document(row(category=""))
    fields["caption"] = fields.pop("prompt")
    layout = read_layout(fields, "published")
    assert layout.prompt == "a dog and a cat"
    assert layout.instances[0].category is None


@pytest.mark.parametrize("caption", ["", " ", None])
def test_a_row_without_a_caption_is_its_category(caption):
    for fields in (
        {"category": "cat"},
        {"category_name": "cat", "category": ""},
        {"category": "cat", "category_name": "cat"},
    ):
        [instance] = read_layout(document(row(caption=caption, **fields)), "published").instances
        assert (instance.caption, instance.category, instance_text(instance)) == ("cat", None, "cat")
    bare = {"bbox": [0, 0, 512, 512], "category": "cat"}
    assert read_layout(document(bare), "published").instances[0].caption == "cat"
    assert problems(document(row(caption=""))) == ["annos[0].caption: expected some text, got ''"]


def test_the_prompt_wins_over_a_caption_and_says_so():
    with pytest.warns(
        UserWarning, match="^caption: left unread, because prompt says something else: 'a dog and a cat'$"
    ):
        assert read_layout(document(row(), caption="another"), "published").prompt == "a dog and a cat"
    with pytest.warns(UserWarning, match=r"^\[1\]\.caption: left unread"):
        read_layouts([document(row()), document(row(), caption="another")], "published")
    for fields in ({"caption": "a dog and a cat"}, {"caption": ""}, {"prompt": "", "caption": "a dog and a cat"}):
        assert read_layout(document(row(), **fields), "published").prompt == "a dog and a cat"
    assert problems(document(row(), prompt="", caption="")) == ["prompt: expected some text, got ''"]


def test_every_malformed_row_is_named_and_none_dropped():
    fields = document(
        5,
        {"bbox": [0, 0, 100], "occludes": "1,x,9,2"},
        {"bbox": [600, 0, 500, 600], "caption": "", "occludes": [2, 2, 3, True]},
        {"caption": "a cat", "category": "cat", "category_name": "dog", "occlude": "1"},
        row({"2": 1}, bbox=["0", 0, 1, 1]),
        width=1024.0,
    )
    assert problems(fields) == [
        "annos[0]: expected an object, got 5",
        "annos[1].bbox: expected four numbers x1, y1, x2, y2, got [0, 0, 100]",
        "annos[2].bbox: expected x1 < x2, got 600 and 500",
        "annos[3].occlude: unknown field; expected bbox, caption, category, category_name, occludes or id",
        "annos[3].category: expected one of category_name and category, got both",
        "annos[3].bbox: expected a value, got nothing",
        "annos[4].bbox: expected x1 to be a number, got '0'",
        "annos[1].occludes: expected whole numbers, got 'x'",
        "annos[1].occludes: no row 9 in this picture",
        "annos[1].occludes: expected another row, got 2 in front of itself",
        "annos[2].occludes: expected every row once, got 2 again",
        "annos[2].occludes: expected another row, got 3 in front of itself",
        "annos[2].occludes: expected whole numbers, got true",
        "annos[4].occludes: expected a list of numbers or text like \"2,3\", got an object with '2'",
        "width: expected a whole number, got 1024.0",
        "annos[1].caption: expected a value, got nothing",
        "annos[2].caption: expected some text, got ''",
    ]


@pytest.mark.parametrize(
    ("bbox", "texts"),
    [
        ([0, 0, 100], ["expected four numbers x1, y1, x2, y2, got [0, 0, 100]"]),
        ([600, 0, 500, 600], ["expected y2 from 0 to 512, got 600", "expected x1 < x2, got 600 and 500"]),
        (
            ["0", 0, 1, float("nan")],
            ["expected x1 to be a number, got '0'", "expected y2 to be a finite number, got nan"],
        ),
        ([0, -0.5, 1025, 1], ["expected y1 from 0 to 512, got -0.5", "expected x2 from 0 to 1024, got 1025"]),
    ],
)
def test_wrong_boxes_are_told_in_pixels(bbox, texts):
    assert problems(document(row(bbox=bbox))) == [f"annos[0].bbox: {text}" for text in texts]


def test_problems_of_several_documents_have_their_place():
    assert problems([document(row()), document(row(bbox=[0, 0, 0, 0])), 7, {"annos": 3}]) == [
        "[1].annos[0].bbox: expected x1 < x2, got 0 and 0",
        "[1].annos[0].bbox: expected y1 < y2, got 0 and 0",
        "[2]: expected an object, got 7",
        "[3].annos: expected a list of objects, got 3",
        "[3].prompt: expected a value, got nothing",
        "[3].width: expected a value, got nothing",
        "[3].height: expected a value, got nothing",
    ]


def test_what_is_written():
    fields = document(row("2,3", category_name="dog"), row("", id="cat"), row(""), seed=3)
    assert write_layout(read_layout(fields, "published"), "published") == (
        "{\n"
        '  "prompt": "a dog and a cat",\n'
        '  "height": 512,\n'
        '  "width": 1024,\n'
        '  "seed": 3,\n'
        '  "annos": [\n'
        '    {"bbox": [0, 0, 512, 512], "caption": "a thing", "category_name": "dog", "occludes": "2,3"},\n'
        '    {"bbox": [0, 0, 512, 512], "caption": "a thing", "occludes": "", "id": "cat"},\n'
        '    {"bbox": [0, 0, 512, 512], "caption": "a thing", "occludes": ""}\n'
        "  ]\n"
        "}\n"
    )
