"""The lines a user reads: exact words, and every problem of a document at once."""

from __future__ import annotations

import math
from typing import Any

import pytest

from occlusionformer.layout import Instance, Layout, LayoutError, Pair
from occlusionformer.layout.problems import Problem, path_text, shown
from tests.tables import for_each


def document(**changes: Any) -> dict[str, Any]:
    instances = [
        {"id": "cat", "caption": "a cat", "box": [0, 0, 0.6, 0.6]},
        {"id": "vase", "caption": "a vase", "box": [0.4, 0.4, 1, 1]},
    ]
    return {"prompt": "a cat and a vase", "width": 512, "height": 384, "instances": instances, **changes}


def problems(fields: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        Layout.model_validate(fields)
    return caught.value.problems


def with_instance(**changes: Any) -> dict[str, Any]:
    fields = document()
    fields["instances"].append({"id": "cup", "caption": "a cup", "box": [0, 0, 1, 1], **changes})
    return fields


@for_each(
    ("changes", "problem"),
    [
        ({"box": [0.7, 0, 0.4, 1]}, "instances[2].box: expected x1 < x2, got 0.7 and 0.4"),
        ({"box": [0, 0, math.nan, 1]}, "instances[2].box: expected x2 to be a finite number, got nan"),
        ({"box": [0, 0, 1, 1.2]}, "instances[2].box: expected y2 from 0 to 1, got 1.2"),
        ({"box": [0, 0, 1]}, "instances[2].box: expected four numbers x1, y1, x2, y2, got [0, 0, 1]"),
        ({"box": {"x1": 0}}, "instances[2].box: expected four numbers x1, y1, x2, y2, got an object with 'x1'"),
        ({"box": "0 0 1 1"}, "instances[2].box: expected four numbers x1, y1, x2, y2, got '0 0 1 1'"),
        ({"caption": " \t"}, "instances[2].caption: expected some text, got ' \\t'"),
        ({"caption": None}, "instances[2].caption: expected text, got null"),
        ({"caption": "\ud800"}, "instances[2].caption: expected text that can be written as UTF-8, got '\\ud800'"),
        ({"id": 7}, "instances[2].id: expected text, got 7"),
        ({"id": "cat"}, "instances[2].id: expected an id of its own, got 'cat' again"),
        ({"category": ""}, "instances[2].category: expected some text, got ''"),
        ({"opacity": 1.5}, "instances[2].opacity: expected at most 1, got 1.5"),
        ({"opacity": -0.5}, "instances[2].opacity: expected at least 0, got -0.5"),
        ({"opacity": "1"}, "instances[2].opacity: expected a number, got '1'"),
        ({"opacity": True}, "instances[2].opacity: expected a number, got true"),
        (
            {"region": {}},
            "instances[2].region: expected an object with points, or with size and counts, got an empty object",
        ),
        ({"region": {"points": [[0, 0], [1, 1]]}}, "instances[2].region.points: expected at least 3 points, got 2"),
        (
            {"region": {"size": [2, 3], "counts": [1, 2, 2]}},
            "instances[2].region.counts: expected runs that add up to 2 x 3 = 6, got 5",
        ),
        ({"region": {"size": [2, 3]}}, "instances[2].region.counts: expected a value, got nothing"),
        (
            {"box": [0, 0, 0.4, 1], "region": {"points": [[0.5, 0], [1, 0], [1, 1]]}},
            "instances[2].region: expected a region that overlaps the box, got one inside [0.5, 0.0, 1.0, 1.0]",
        ),
        (
            {"box": [0, 0, 0.5, 1], "region": {"size": [2, 4], "counts": [5, 1, 2]}},
            "instances[2].region: expected a region that overlaps the box, got one inside [0.5, 0.5, 0.75, 1.0]",
        ),
        (
            {"colour": "red"},
            "instances[2].colour: unknown field; expected id, caption, box, category, region or opacity",
        ),
    ],
)
def test_one_wrong_field_of_an_instance(changes, problem):
    assert problems(with_instance(**changes)) == [problem]


@for_each(
    ("changes", "problem"),
    [
        ({"prompt": ""}, "prompt: expected some text, got ''"),
        ({"width": 0}, "width: expected at least 1, got 0"),
        ({"width": 512.0}, "width: expected a whole number, got 512.0"),
        ({"height": "384"}, "height: expected a whole number, got '384'"),
        ({"height": True}, "height: expected a whole number, got true"),
        ({"height": 10**70}, "height: expected at most 65535, got a number of more than 60 digits"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"version": 2}, "version: expected 1, got 2"),
        ({"version": True}, "version: expected 1, got true"),
        ({"instances": {}}, "instances: expected a list, got an empty object"),
        ({"instances": ["cat"]}, "instances[0]: expected an object, got 'cat'"),
        ({"cycles": "ignore"}, "cycles: expected 'error', 'allow' or 'break', got 'ignore'"),
        ({"closure": "yes"}, "closure: expected true or false, got 'yes'"),
        ({"order": []}, "order: expected an object with front_to_back, pairs or depths, got []"),
        ({"order": {"pairs": [], "depths": {}}}, "order.depths: unknown field; expected pairs"),
        (
            {"order": {"front_to_back": ["vase", "cat", "vase"]}},
            "order.front_to_back[2]: expected every id once, got 'vase' again",
        ),
        ({"order": {"front_to_back": ["vase", "cup"]}}, "order.front_to_back[1]: no instance 'cup'"),
        ({"order": {"depths": {"tea cup": 1}}}, "order.depths['tea cup']: no instance 'tea cup'"),
        ({"order": {"depths": {5: 1}}}, "order.depths[5]: expected text, got 5"),
        ({"order": {5: 1}}, "order: expected an object with front_to_back, pairs or depths, got an object with 5"),
        ({"order": {"depths": {}, 5: 1}}, "order: expected text as the name of a field, got 5"),
        ({"order": {"depths": {"cat": math.inf}}}, "order.depths.cat: expected a finite number, got inf"),
        ({"order": {"pairs": [{"front": "cup", "behind": "cat"}]}}, "order.pairs[0].front: no instance 'cup'"),
        ({"order": {"pairs": [{"front": "cat"}]}}, "order.pairs[0].behind: expected a value, got nothing"),
        (
            {"order": {"pairs": [{"front": "cat", "behind": "cat"}]}},
            "order.pairs[0]: expected two instances, got 'cat' in front of itself",
        ),
        (
            {"order": {"pairs": [{"front": "cat", "behind": "vase"}] * 2}},
            "order.pairs[1]: expected every pair once, got 'cat' > 'vase' again",
        ),
        (
            {"order": {"pairs": [{"front": "cat", "behind": "vase"}, {"front": "vase", "behind": "cat"}]}},
            "order: z-order loops: cat > vase > cat",
        ),
        (
            {"sead": 1},
            "sead: unknown field; expected version, prompt, width, height, seed, instances, order, cycles or closure",
        ),
    ],
)
def test_one_wrong_field_of_a_layout(changes, problem):
    assert problems(document(**changes)) == [problem]


def test_every_problem_is_told_at_once():
    fields = document(
        width=-1,
        seed=1.5,
        instances=[
            {"id": "cat", "caption": "", "box": [0.5, 0.5, 0.5, 2]},
            {"id": "cat", "caption": "a cat", "box": [0, 0, 1, 1], "region": {"points": [[0, 0], [0, 2], 5]}},
            {"id": "vase", "box": [math.nan, 0, 1, 1], "opacity": 3},
        ],
        order={
            "pairs": [
                {"front": "cat", "behind": "vase"},
                {"front": "vase", "behind": "cat"},
                {"front": "cup", "behind": 3},
                5,
            ]
        },
    )
    assert problems(fields) == [
        "width: expected at least 1, got -1",
        "seed: expected a whole number, got 1.5",
        "instances[0].caption: expected some text, got ''",
        "instances[0].box: expected y2 from 0 to 1, got 2",
        "instances[0].box: expected x1 < x2, got 0.5 and 0.5",
        "instances[1].region.points[1][1]: expected at most 1, got 2",
        "instances[1].region.points[2]: expected a list, got 5",
        "instances[2].caption: expected a value, got nothing",
        "instances[2].box: expected x1 to be a finite number, got nan",
        "instances[2].opacity: expected at most 1, got 3",
        "order.pairs[2].behind: expected text, got 3",
        "order.pairs[3]: expected an object, got 5",
        "instances[1].id: expected an id of its own, got 'cat' again",
        "order.pairs[2].front: no instance 'cup'",
        "order: z-order loops: cat > vase > cat",
    ]


def test_loops_are_named_one_by_one():
    names = "abcdefg"
    instances = [{"id": name, "caption": "a thing", "box": [0, 0, 1, 1]} for name in names]
    relations = [{"front": front, "behind": behind} for front, behind in ("ab", "ba", "cd", "de", "ec", "fg")]
    assert problems(document(instances=instances, order={"pairs": relations})) == [
        "order: z-order loops: a > b > a",
        "order: z-order loops: c > d > e > c",
    ]


def test_the_message_lists_all_problems_a_line_each():
    with pytest.raises(LayoutError) as caught:
        Layout.model_validate(document(width=0, height=0))
    assert str(caught.value) == "width: expected at least 1, got 0\nheight: expected at least 1, got 0"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [None, 5, "a cat", [], [1]])
def test_a_layout_that_is_no_object(value):
    assert problems(value) == [f"expected an object, got {shown(value)}"]


def test_names_that_are_no_text():
    assert problems({**document(), 5: 1, None: 2}) == [
        "expected text as the name of a field, got 5",
        "expected text as the name of a field, got null",
    ]


def test_parts_on_their_own_raise_the_same_error():
    with pytest.raises(LayoutError) as caught:
        Instance(id=" ", caption="a cat", box=(0.5, 0, 0.2, 1))
    assert caught.value.problems == ["id: expected some text, got ' '", "box: expected x1 < x2, got 0.5 and 0.2"]
    with pytest.raises(LayoutError, match=r"^behind: expected a value, got nothing$"):
        Pair.model_validate({"front": "cat"})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("instances", 2, "box"), "instances[2].box"),
        ((0, "annos", 1), "[0].annos[1]"),
        (("relations", "(A, B)"), "relations['(A, B)']"),
        (("order", "depths", "café"), "order.depths['café']"),
    ],
)
def test_paths_read_like_code(path, text):
    assert path_text(path) == text


def test_a_problem_without_a_path_is_its_text():
    assert str(Problem((), "not JSON")) == "not JSON"


@for_each(
    ("value", "text"),
    [
        ("x" * 100, f"'{'x' * 60}'..."),
        ([True, None, 0.5], "[true, null, 0.5]"),
        (list(range(1000)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1..."),
        ({"a": 1, "b": 2}, "an object with 'a', 'b'"),
        (10**70, "a number of more than 60 digits"),
        ([[[[[]]]]], "[[[[...]]]]"),
        ([[0] * 10] * 10**6, "[[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0,..."),
        (
            dict.fromkeys(range(10**6)),
            "an object with 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17...",
        ),
    ],
)
def test_values_are_shown_briefly(value, text):
    assert shown(value) == text


def test_a_text_is_one_problem():
    """Worker processes build errors anew from their text."""
    assert LayoutError("prompt: expected some text, got ''").problems == ["prompt: expected some text, got ''"]
