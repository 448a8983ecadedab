"""Arguments of LaRender's script, and Omost's canvas."""

from __future__ import annotations

from typing import Any

import pytest

from occlusionformer.layout import (
    Box,
    Depths,
    FrontToBack,
    Instance,
    Layout,
    LayoutError,
    Pair,
    Pairs,
    read_layout,
    read_layouts,
    write_layout,
)
from tests.tables import for_each

GIVEN: dict[str, Any] = {"width": 640, "height": 480}


def problems(source: Any, form: str, **given: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layout(source, form, **given)
    return caught.value.problems


LARENDER = {
    "objects": ["a forest", "a white cat", "a long branch"],
    "locations": [[0, 1, 0, 1], [0.3, 0.8, 0.1, 0.4], [0.5, 0.6, 0, 1]],
}


def test_larender_lists_objects_from_back_to_front():
    found = read_layout(
        {**LARENDER, "alpha": [0.8, 0.8, 0.2], "indices": [[1], [3], [3]], "seed": 5}, "larender", **GIVEN
    )
    assert (found.prompt, found.seed) == ("a forest", 5)
    assert [(i.id, i.caption, list(i.box), i.opacity) for i in found.instances] == [
        ("1", "a white cat", [0.1, 0.3, 0.4, 0.8], 1),
        ("2", "a long branch", [0, 0.5, 1, 0.6], 0.25),
    ]
    assert found.order == FrontToBack(front_to_back=["2", "1"])
    assert [i.opacity for i in read_layout({**LARENDER, **GIVEN}, "larender").instances] == [1, 1]
    assert read_layout(write_layout(found, "larender"), "larender") == found


def test_larender_without_a_background_needs_a_prompt():
    document = {"objects": ["a girl"], "locations": [[0.2, 0.9, 0.4, 0.7]], **GIVEN}
    assert read_layout(document, "larender", prompt="a room").prompt == "a room"
    assert problems(document, "larender") == [
        "objects: expected a first box that covers the canvas, or a prompt from the caller, got neither",
        "prompt: expected a value, got nothing",
    ]
    assert problems({**LARENDER, **GIVEN}, "larender", prompt="a room") == [
        "objects[0]: expected a box that covers the canvas or a prompt from the caller, got both"
    ]


def test_every_problem_of_larenders_arguments_is_told():
    document = {
        "objects": ["a forest", 7, "a cat"],
        "locations": [[0, 1, 0, 1], [0.5, 0.5, 0, 1], [0, 1, 0]],
        "alpha": [0.8, 1],
        "colour": 1,
        "seed": -1,
    }
    assert problems(document, "larender", width=640, height=0) == [
        "colour: unknown field; expected objects, locations, alpha, width, height, seed, indices, "
        "num_images_per_prompt, negative_prompt, pretrain or density_scheduler",
        "alpha: expected 3 values, one for each of objects, got 2",
        "locations[1]: expected y1 < y2, got 0.5 and 0.5",
        "alpha[1]: expected a number from 0 to below 1, got 1",
        "height: expected at least 1, got 0",
        "seed: expected at least 0, got -1",
        "objects[1]: expected text, got 7",
    ]


OMOST = """Here is the composition:
```python
# Initialize the canvas
canvas = Canvas()

# Set a global description
canvas.set_global_description(
    description='A cosy room.',
    detailed_descriptions=['Warm light.', "A cat's home."],
    tags='room, cosy',
    HTML_web_color_name='beige',
)

# canvas.add_local_description(description='not this')
canvas.add_local_description(
    location='on the left',
    offset='slightly to the upper',
    area='a small square area',
    distance_to_viewer=2.5,
    description='A cat.',
    detailed_descriptions=[],
    tags='cat', atmosphere='calm', style='photo', quality_meta='sharp',
    HTML_web_color_name='orange'
)
canvas.add_local_description(location="in the center", offset="no offset", area="a large horizontal area",
    distance_to_viewer=5, description="A sofa. canvas.add_local_description(")
```
"""


def test_omost_says_places_in_words_and_the_order_by_distance():
    found = read_layout(OMOST, "omost", **GIVEN)
    assert found.prompt == "A cosy room."
    assert [(i.caption, [edge * 90 for edge in i.box]) for i in found.instances] == [
        ("A cat.", pytest.approx([0, 10, 40, 60])),
        ("A sofa. canvas.add_local_description(", pytest.approx([0, 15, 90, 75])),
    ]
    assert found.order == Depths(depths={"1": 2.5, "2": 5})
    assert found.zorder.edges == {(0, 1)}
    assert read_layout(write_layout(found, "omost", lossy=True), "omost", **GIVEN) == found


def test_a_canvas_follows_the_other():
    first, second = read_layouts(OMOST + OMOST, "omost", **GIVEN)
    assert first == second


@for_each(
    ("order", "distances"),
    [
        (None, [1, 1, 1]),
        (FrontToBack(front_to_back=["c", "a", "b"]), [2, 3, 1]),
        (Pairs(pairs=[Pair(front="a", behind="b")]), [1, 2, 1]),
        (Depths(depths={"a": 0.5, "b": 2, "c": 2}), [0.5, 2, 2]),
        (Depths(depths={"a": -5, "b": 2}), [1, 2, 1]),
    ],
)
def test_orders_become_distances(order, distances):
    instances = [Instance(id=name, caption=name, box=Box(0, 0, 1, 1)) for name in "abc"]
    before = Layout(prompt="a room", **GIVEN, instances=instances, order=order)
    after = read_layout(write_layout(before, "omost", lossy=True), "omost", **GIVEN)
    found = after.order.depths.values() if after.order else [1, 1, 1]
    assert list(found) == distances


def test_every_problem_of_a_canvas_is_told():
    call = "canvas.add_local_description(location='up', offset=7, distance_to_viewer=0, description='', hue=1)"
    assert problems(call, "omost") == [
        "set_global_description: expected a call, got nothing",
        "add_local_description[0].hue: unknown field; expected location, offset, area, distance_to_viewer, "
        "description, detailed_descriptions, tags, HTML_web_color_name, atmosphere, style or quality_meta",
        "add_local_description[0].location: expected in the center, on the left, on the right, on the top, "
        "on the bottom, on the top-left, on the top-right, on the bottom-left or on the bottom-right, got 'up'",
        "add_local_description[0].offset: expected no offset, slightly to the left, slightly to the right, slightly to "
        "the upper, slightly to the lower, slightly to the upper-left, slightly to the upper-right, slightly to the "
        "lower-left or slightly to the lower-right, got 7",
        "add_local_description[0].area: expected a small square area, a small vertical area, a small horizontal area, "
        "a medium-sized square area, a medium-sized vertical area, a medium-sized horizontal area, a large square "
        "area, a large vertical area or a large horizontal area, got nothing",
        "add_local_description[0].distance_to_viewer: expected a number above 0, got 0",
        "prompt: expected a value, got nothing",
        "width: expected a value, got nothing",
        "height: expected a value, got nothing",
        "add_local_description[0].description: expected some text, got ''",
    ]
    assert problems("a poem", "omost") == [
        "expected calls of set_global_description and add_local_description, got 'a poem'"
    ]
    assert problems("canvas.set_global_description(description=open('x'))", "omost") == [
        "line 1, column 43: not a call: expected only text, numbers, lists and dicts"
    ]
    assert problems("canvas.set_global_description('x')", "omost") == [
        "line 1, column 31: not a call: expected an argument by name"
    ]
    twice = "canvas.set_global_description(description='a', description='b')"
    assert "set_global_description: expected every field once, got 'description' again" in problems(
        twice, "omost", **GIVEN
    )
