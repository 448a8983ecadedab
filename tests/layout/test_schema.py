"""Layouts: what they resolve to, that they stay valid, and the schema that is published."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import (
    Box,
    Depths,
    FrontToBack,
    Instance,
    Layout,
    LayoutError,
    Pair,
    Pairs,
    Polygon,
    ZOrder,
    schema,
)
from tests.clock import bounded
from tests.layout.drawn import layouts
from tests.tables import for_each

LEFT, MIDDLE, RIGHT = Box(0, 0, 0.4, 1), Box(0.3, 0, 0.7, 1), Box(0.6, 0, 1, 1)


def drawn(*boxes: Box, **fields: object) -> Layout:
    """A layout with instances a, b, c, ... in these boxes."""
    instances = [Instance(id="abcdef"[place], caption="a thing", box=box) for place, box in enumerate(boxes)]
    return Layout(**{"prompt": "things", "width": 64, "height": 48, "instances": instances, **fields})


def pairs(*relations: str) -> Pairs:
    return Pairs(pairs=[Pair(front=front, behind=behind) for front, behind in relations])


def test_without_an_order_there_is_no_zorder():
    assert drawn(LEFT, RIGHT).zorder is None
    assert drawn(LEFT, RIGHT, order=pairs()).zorder == ZOrder(2)


def test_the_three_ways_to_say_an_order_agree():
    total = drawn(LEFT, MIDDLE, RIGHT, order=FrontToBack(front_to_back=["c", "a", "b"]))
    depths = drawn(LEFT, MIDDLE, RIGHT, order=Depths(depths={"a": 2, "b": 7.5, "c": -1}))
    relations = drawn(LEFT, MIDDLE, RIGHT, order=pairs("ca", "cb", "ab"))
    assert total.zorder == depths.zorder == relations.zorder == ZOrder(3, {(2, 0), (2, 1), (0, 1)})


def test_instances_an_order_does_not_list_have_no_relation():
    assert drawn(LEFT, MIDDLE, RIGHT, order=FrontToBack(front_to_back=["c", "b"])).zorder == ZOrder(3, {(2, 1)})
    assert drawn(LEFT, MIDDLE, RIGHT, order=Depths(depths={"a": 1, "c": 0})).zorder == ZOrder(3, {(2, 0)})


def test_closure_adds_what_follows_only_where_boxes_overlap():
    wide = Box(0, 0, 1, 1)
    assert drawn(LEFT, MIDDLE, RIGHT, order=pairs("ab", "bc"), closure=True).zorder == ZOrder(3, {(0, 1), (1, 2)})
    assert drawn(wide, MIDDLE, RIGHT, order=pairs("ab", "bc"), closure=True).zorder == ZOrder(
        3, {(0, 1), (1, 2), (0, 2)}
    )
    assert drawn(wide, MIDDLE, RIGHT, order=pairs("ab", "bc")).zorder == ZOrder(3, {(0, 1), (1, 2)})


def test_policies_on_loops():
    order = pairs("ab", "bc", "ca")
    with pytest.raises(LayoutError) as caught:
        drawn(LEFT, MIDDLE, RIGHT, order=order)
    assert caught.value.problems == ["order: z-order loops: a > b > c > a"]
    kept = drawn(LEFT, MIDDLE, RIGHT, order=order, cycles="allow")
    assert kept.zorder == ZOrder(3, {(0, 1), (1, 2), (2, 0)})
    assert kept.broken_pairs == ()
    broken = drawn(LEFT, MIDDLE, RIGHT, order=order, cycles="break")
    assert broken.zorder == ZOrder(3, {(0, 1), (1, 2)})
    assert broken.broken_pairs == (Pair(front="c", behind="a"),)
    assert broken.declared_zorder == kept.zorder


def test_the_zorder_is_computed_once():
    layout = drawn(LEFT, RIGHT, order=pairs("ab"))
    assert layout.zorder is layout.zorder


def test_above_many_instances_a_total_order_relates_only_neighbours(monkeypatch):
    order = FrontToBack(front_to_back=["a", "b", "c"])
    apart = [Box(0, 0, 0.1, 1), Box(0.11, 0, 0.2, 1), Box(0.9, 0, 1, 1)]
    assert len(drawn(*apart, order=order).zorder.edges) == 3
    monkeypatch.setattr(schema, "MOST_LISTED", 2)
    assert drawn(*apart, order=order).zorder == ZOrder(3, {(0, 1)})


def test_ten_thousand_instances_are_checked_in_two_seconds():
    count = 10_000
    instances = [
        {"id": str(k), "caption": "a dot", "box": [k % 100 / 101, k // 100 / 101, k % 100 / 101 + 0.01, 1]}
        for k in range(count)
    ]
    order = {"pairs": [{"front": str(k), "behind": str((k + 1) % count)} for k in range(count)]}
    with bounded(2):
        layout = Layout.model_validate(
            {"prompt": "dots", "width": 512, "height": 512, "instances": instances, "order": order, "cycles": "break"}
        )
        with pytest.raises(LayoutError, match=r"order: z-order loops: 0 > 1 > .* > \(9981 more\) > 9999 > 0"):
            layout.model_copy(update={"cycles": "error"})
    assert layout.broken_pairs == (Pair(front="9999", behind="0"),)


def test_a_layout_cannot_be_changed_but_copied_with_changes():
    layout = drawn(LEFT, RIGHT, order=pairs("ab"))
    assert layout.zorder == ZOrder(2, {(0, 1)})
    with pytest.raises(ValueError, match="frozen"):
        layout.width = 5
    assert layout.model_copy(update={"order": pairs("ba")}).zorder == ZOrder(2, {(1, 0)})
    with pytest.raises(LayoutError, match=r"width: expected at least 1, got 0"):
        layout.model_copy(update={"width": 0})


def test_a_deep_copy_shares_nothing_that_could_change():
    layout = drawn(LEFT, RIGHT, order=Depths(depths={"a": 1}))
    twin = layout.model_copy(deep=True)
    assert twin == layout
    assert hash(twin) == hash(layout)
    assert twin.order.depths is not layout.order.depths


def test_json_is_read_strictly():
    assert Layout.model_validate_json('{"prompt": "a", "width": 4, "height": 4}').width == 4
    with pytest.raises(LayoutError) as caught:
        Layout.model_validate_json('{"prompt": "a", "width": 4, "height": 4, "seed": NaN, "width": 4}')
    assert caught.value.problems == [
        "expected every field once, got 'width' again",
        "seed: expected a finite number, got nan",
    ]


@given(layouts())
def test_layouts_are_values(layout):
    assert layout.zorder == layout.zorder
    twin = Layout.model_validate(layout.model_dump())
    assert twin == layout == copy.deepcopy(layout) == pickle.loads(pickle.dumps(layout)) == layout.model_copy()


@given(layouts(), st.data())
def test_renumbering_instances_changes_nothing_but_places(layout, data):
    new = data.draw(st.permutations(range(len(layout.instances))))
    moved = layout.model_copy(update={"instances": [layout.instances[place] for place in new], "cycles": "allow"})
    kept = layout.model_copy(update={"cycles": "allow"})
    if kept.zorder is None:
        assert moved.zorder is None
    else:
        assert {(new[front], new[behind]) for front, behind in moved.zorder.edges} == kept.zorder.edges


@for_each(
    ("points", "problem"),
    [
        ([(0, 0), (1, 1)], "points: expected at least 3 points, got 2"),
        (
            [(0, 0), (0.5, 0.5), (1, 1)],
            "points: expected a polygon that encloses an area, got [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]",
        ),
        (
            [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)],
            "points: expected a polygon that encloses an area, got [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]",
        ),
        ([(0, 0), (1, 1.5), (1, 0)], "points[1][1]: expected at most 1, got 1.5"),
        ([(0, 0), (float("nan"), 1), (1, 0)], "points[1][0]: expected a finite number, got nan"),
        ([(0, 0), (1,), (1, 0)], "points[1][1]: expected a value, got nothing"),
    ],
)
def test_wrong_polygons_are_refused(points, problem):
    with pytest.raises(LayoutError) as caught:
        Polygon(points=points)
    assert caught.value.problems == [problem]


def fields_of(part: dict[str, object], name: str) -> Iterator[tuple[str, dict[str, object]]]:
    for field, described in part.get("properties", {}).items():
        yield f"{name}.{field}", described


def test_every_field_of_the_published_schema_is_described():
    published = Layout.model_json_schema()
    described = dict(fields_of(published, "Layout"))
    for name, part in published["$defs"].items():
        assert part["additionalProperties"] is False, name
        described.update(fields_of(part, name))
    assert len(described) == 23
    assert [name for name, field in described.items() if len(field.get("description", "")) < 15] == []
    assert published["required"] == ["prompt", "width", "height"]


def test_the_published_schema_knows_the_limits():
    published = Layout.model_json_schema()
    instance = published["$defs"]["Instance"]["properties"]
    assert (instance["box"]["minItems"], instance["box"]["items"]["maximum"]) == (4, 1)
    assert (instance["opacity"]["minimum"], instance["opacity"]["maximum"]) == (0, 1)
    assert instance["caption"]["pattern"] == r"\S"
    assert published["properties"]["cycles"]["enum"] == ["error", "allow", "break"]
    assert published["properties"]["width"]["minimum"] == 1
    assert "LayoutError" not in str(published)
