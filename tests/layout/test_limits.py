"""Documents that cost: refused by the name of the limit they break, soon, and with a hundred problems at most."""

from __future__ import annotations

import pytest

from occlusionformer.layout import FORMATS, Layout, LayoutError, ZOrder, read_layouts
from occlusionformer.layout.limits import DocumentLimits
from occlusionformer.layout.problems import MORE, MOST_PROBLEMS, Findings, Problem
from occlusionformer.layout.text import check_text, parse_json
from occlusionformer.layout.values import unfit_parts
from tests.clock import bounded
from tests.tables import for_each

SIZE = 2**17
"""Characters of documents that cost: what grows with the square of them takes minutes already."""
INSTANCE = {"id": "a", "caption": "a cat", "box": [0, 0, 1, 1]}
LAYOUT = {"prompt": "a cat", "width": 64, "height": 64}


def problems(source: object, form: str = "native") -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layouts(source, form)
    return caught.value.problems


def filled(item: str, head: str = "[", tail: str = "]") -> str:
    """A list of the same item."""
    count = (SIZE - len(head) - len(tail) - 16) // (len(item) + 1)
    return head + ",".join([item] * count) + tail


COSTLY = {
    "not a number": filled("NaN", '{"instances": [', "]}"),
    "empty objects": filled("{}", '{"instances": [', "]}"),
    "empty objects at the top": filled("{}"),
    "lists": filled("[]"),
    "texts": filled('""'),
    "long numbers": filled("9" * 4300),
    "one long number": "9" * (SIZE - 16),
    "a deep list": "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "deep objects": '{"a":' * (SIZE // 6),
    "lone surrogates": filled('"\\ud800"', '{"instances": [', "]}"),
    "the same name": "{" + ",".join(['"a": 1'] * (SIZE // 8)) + "}",
    "names": "{" + ",".join(f'"{k}": 1' for k in range(SIZE // 12)) + "}",
    "backslashes": '"' + "\\\\" * (SIZE // 2 - 16) + '"',
    "quotes": '"' + '\\"' * (SIZE // 2 - 16) + '"',
    "lines": "\n".join(["{}"] * (SIZE // 3)),
}


@for_each("form", FORMATS)
@for_each("name", COSTLY)
def test_a_lot_of_anything_is_refused_in_time(name: str, form: str):
    with bounded(1):
        found = problems(COSTLY[name], form)
    assert len(found) <= MOST_PROBLEMS + 1
    assert all(len(problem) < 500 for problem in found)


@for_each(
    "fields",
    [
        {"instances": [{}] * 50_000},
        {"instances": [INSTANCE] * 20_000},
        {"instances": [{**INSTANCE, "box": [0, 0, 0, 0]}] * 20_000},
        {"order": {"front_to_back": ["a"] * 100_000}},
        {"order": {"front_to_back": [5] * 100_000}},
        {"order": {"pairs": [{"front": "a", "behind": "b"}] * 20_000}},
        {"order": {"pairs": [7] * 100_000}},
        {"order": {"depths": {str(number): "far" for number in range(100_000)}}},
        {str(number): 0 for number in range(100_000)},
        {"instances": [{**INSTANCE, "region": {"points": [[2, 2]] * 100_000}}]},
        {"instances": [{**INSTANCE, **{str(number): 0 for number in range(1000)}}]},
    ],
)
def test_looking_for_problems_stops_at_a_hundred(fields):
    with bounded(2):
        found = problems({**LAYOUT, **fields})
    assert len(found) == 101
    assert found[-1] == "and more: only the first 100 problems are listed"


def test_problems_of_later_items_are_told_with_their_places():
    many = [{"id": str(number), "caption": "a cat", "box": [0, 0, 1, 1]} for number in range(1000)]
    many[0]["caption"] = ""
    many[700]["box"] = [0, 0, 0, 1]
    del many[999]["caption"]
    assert problems({**LAYOUT, "instances": many, "order": {"depths": {str(n): n for n in range(1001)}}}) == [
        "instances[0].caption: expected some text, got ''",
        "instances[700].box: expected x1 < x2, got 0 and 0",
        "instances[999].caption: expected a value, got nothing",
        "order.depths['1000']: no instance '1000'",
    ]


LIMITS = DocumentLimits(bytes=100, values=10, levels=3, characters=8, digits=4)


@for_each(
    ("text", "problem"),
    [
        ("[" + " " * 100 + "]", "expected a document of at most 9.54e-05 MB, got a larger one"),
        ("[" + "0," * 10 + "0]", "expected a document of at most 10 values, got about 11"),
        ('["' + "x" * 9 + '"]', "line 1, column 2: expected texts of at most 8 characters, got one of 9"),
        (
            '["a",\n "b", "' + "\\\\" * 5 + '"]',
            "line 2, column 7: expected texts of at most 8 characters, got one of 10",
        ),
        ('{"' + '\\"' * 6 + '": 1}', "line 1, column 2: expected texts of at most 8 characters, got one of 12"),
        ('["' + "x" * 50, "line 1, column 2: expected texts of at most 8 characters, got one of 50"),
    ],
)
def test_texts_are_bounded_before_they_are_parsed(text, problem):
    with pytest.raises(LayoutError) as caught:
        check_text(text, LIMITS)
    assert caught.value.problems == [problem]


@pytest.mark.parametrize(
    "text", ['["12345678", "", "x"]', '["\\"23456", 1]', "[         1,         2,         3]", '"']
)
def test_what_is_within_the_limits_is_not_refused(text):
    check_text(text, LIMITS)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([[[[]]]], "[0][0][0]: expected at most 3 levels of objects and lists inside each other, got more"),
        ([[0] * 6] * 6, "expected a document of at most 10 values, got more"),
        (["x" * 9], "[0]: expected texts of at most 8 characters, got one of 9"),
        ({"x" * 9: 1}, "expected texts of at most 8 characters, got one of 9"),
        ({"a": [10**4]}, "a[0]: expected numbers of at most 4 digits, got one of about 5"),
    ],
)
def test_values_from_python_are_bounded(value, problem):
    with pytest.raises(LayoutError) as caught:
        unfit_parts(value, LIMITS)
    assert caught.value.problems == [problem]


def test_the_same_list_inside_itself_many_times_is_counted_each_time():
    value: list[object] = [0]
    for _ in range(40):
        value = [value, value]
    with bounded(1), pytest.raises(LayoutError, match="expected a document of at most 10000 values, got more"):
        unfit_parts(value, DocumentLimits(values=10_000))


def test_numbers_of_python_and_of_text_have_the_same_limit():
    assert problems({**LAYOUT, "seed": 10**20}) == ["seed: expected numbers of at most 20 digits, got one of about 21"]
    assert parse_json("9" * 20) == 10**20 - 1


def test_a_layout_made_in_python_has_the_same_limit_for_its_texts():
    with pytest.raises(LayoutError) as caught:
        Layout(prompt="x" * (2**20 + 1), width=64, height=64)
    assert caught.value.problems == [f"prompt: expected texts of at most {2**20} characters, got one of {2**20 + 1}"]


def ring(count: int, box: object) -> dict[str, object]:
    instances = [{"id": str(k), "caption": "a dot", "box": box(k)} for k in range(count)]
    pairs = [{"front": str(k), "behind": str((k + 1) % count)} for k in range(count)]
    return {**LAYOUT, "instances": instances, "order": {"pairs": pairs}, "closure": True, "cycles": "allow"}


def test_the_closure_of_a_ring_of_five_thousand_takes_seconds():
    layout = ring(5000, lambda k: [k % 100 / 102, k // 100 / 52, k % 100 / 102 + 0.015, k // 100 / 52 + 0.03])
    with bounded(3):
        order = read_layouts(layout)[0].zorder
    assert order is not None
    assert len(order.edges) > 30_000
    follows = {(front, behind) for front, behind in order.edges if (behind - front) % 5000 not in (1, 4999)}
    assert {(behind, front) for front, behind in follows} == follows


@pytest.mark.parametrize("order", ["pairs", "front_to_back", "depths"])
def test_more_relations_than_an_order_may_have_are_refused(order):
    layout = ring(3000, lambda k: [0, 0, 1, 1])
    names = [str(k) for k in range(3000)]
    if order != "pairs":
        layout["order"] = {order: names if order == "front_to_back" else {name: int(name) for name in names}}
    expected = 3000 * 2999 // (1 if order == "pairs" else 2)
    with bounded(2):
        assert problems(layout) == [f"order: expected at most 1048576 relations, got {expected}"]
    with pytest.raises(LayoutError, match="order: expected at most 1048576 relations, got 1124250"):
        ZOrder.from_total(range(1500))


def test_findings_end_the_search_once_there_are_too_many():
    findings = Findings()
    findings.add(Problem((place,), "wrong") for place in range(100))
    with pytest.raises(LayoutError) as caught:
        findings.add(Problem((place,), "wrong") for place in range(1000, 10**12))
    assert len(caught.value.details) == 101
    inside = caught.value.under(("document",))
    assert inside.details[0] == Problem(("document", 0), "wrong")
    assert inside.details[-1] == MORE
    assert LayoutError([*inside.details, *inside.details]).details == inside.details
