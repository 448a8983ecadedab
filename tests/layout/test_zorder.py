"""Z-orders: their sources, their loops and their closure, against brute force on small graphs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import Box, LayoutError, ZOrder, ZOrderCycle
from tests.clock import bounded
from tests.layout.drawn import boxes, zorders


def reachable_pairs(zorder: ZOrder) -> set[tuple[int, int]]:
    """Warshall's closure: (i, j) for every way from i to j of at least one edge."""
    reach = set(zorder.edges)
    for k, i, j in itertools.product(range(zorder.num_instances), repeat=3):
        if (i, k) in reach and (k, j) in reach:
            reach.add((i, j))
    return reach


def loops_through(zorder: ZOrder, start: int) -> list[tuple[int, ...]]:
    """All loops that begin at an instance and visit no other twice."""
    others = [i for i in range(zorder.num_instances) if i != start]
    return [
        (start, *middle)
        for length in range(1, len(others) + 1)
        for middle in itertools.permutations(others, length)
        if all(edge in zorder.edges for edge in itertools.pairwise((start, *middle, start)))
    ]


def renumbered(zorder: ZOrder, new: list[int]) -> ZOrder:
    return ZOrder(zorder.num_instances, {(new[front], new[behind]) for front, behind in zorder.edges})


def test_a_total_order_puts_everyone_in_front_of_all_that_follow():
    zorder = ZOrder.from_total([2, 0, 1])
    assert zorder.edges == {(2, 0), (2, 1), (0, 1)}
    assert zorder.front_to_back() == (2, 0, 1)


def test_instances_that_are_not_listed_have_no_relation():
    zorder = ZOrder.from_total([3, 1], num_instances=4)
    assert zorder == ZOrder(4, {(3, 1)})


@pytest.mark.parametrize(
    ("listed", "problem"),
    [([0, 0], "front_to_back[1]: instance 0 is listed twice"), ([0, 5], "front_to_back[1]: no instance 5 of 2")],
)
def test_a_wrong_total_order_is_refused(listed, problem):
    with pytest.raises(LayoutError) as caught:
        ZOrder.from_total(listed)
    assert caught.value.problems == [problem]


def test_a_total_order_over_boxes_relates_only_those_that_can_meet():
    corner, beside, far = Box(0, 0, 0.2, 0.2), Box(0.21, 0, 0.4, 0.2), Box(0.8, 0.8, 1, 1)
    assert ZOrder.from_total([2, 1, 0], boxes=[corner, beside, far]).edges == {(1, 0)}


def test_the_smaller_depth_is_nearer_and_equal_ones_have_no_relation():
    assert ZOrder.from_depths([2.0, 1.0, None, 2.0]) == ZOrder(4, {(1, 0), (1, 3)})


@given(st.lists(st.none() | st.integers(-2, 2), max_size=6), st.data())
def test_depths_over_boxes_drop_only_boxes_that_are_far_apart(depths, data):
    drawn = data.draw(st.lists(boxes(), min_size=len(depths), max_size=len(depths)))
    every, near = ZOrder.from_depths(depths), ZOrder.from_depths(depths, boxes=drawn)
    assert near.edges <= every.edges
    assert all(drawn[i].intersection(drawn[j]) is None for i, j in every.edges - near.edges)


def test_occluders_are_those_declared_in_front():
    zorder = ZOrder.from_occluders([[], [0], [0, 1]])
    assert zorder.edges == {(0, 1), (0, 2), (1, 2)}
    assert [zorder.occluders(i) for i in range(3)] == [set(), {0}, {0, 1}]


@given(zorders())
def test_occluders_and_back(zorder):
    assert ZOrder.from_occluders([zorder.occluders(i) for i in range(zorder.num_instances)]) == zorder


def test_wrong_edges_are_refused_all_at_once():
    with pytest.raises(LayoutError) as caught:
        ZOrder.from_pairs(2, [(0, 0), (0, 1), (0, 1), (1, 2), (-1, 0)])
    assert caught.value.problems == [
        "edges: instance 0 cannot be in front of itself",
        "edges: 0 > 1 is given twice",
        "edges: expected instances 0 to 1, got 1 > 2",
        "edges: expected instances 0 to 1, got -1 > 0",
    ]


def test_an_instance_that_occludes_itself_is_refused():
    with pytest.raises(LayoutError, match="instance 1 cannot be in front of itself"):
        ZOrder.from_occluders([[], [1]])


def test_the_message_of_a_loop():
    assert str(ZOrderCycle((0, 1, 2))) == "z-order loops: 0 > 1 > 2"
    assert isinstance(ZOrderCycle((0, 1)), ValueError)


def test_a_long_loop_is_cut_in_the_middle():
    message = str(ZOrderCycle([*range(1000), 0]))
    assert message.startswith("z-order loops: 0 > 1 > 2 > ")
    assert message.endswith(" > (981 more) > 999 > 0")


def test_front_to_back_names_the_loop_it_stumbles_on():
    zorder = ZOrder(4, {(3, 1), (1, 2), (2, 3), (0, 1)})
    with pytest.raises(ZOrderCycle, match="z-order loops: 1 > 2 > 3 > 1"):
        zorder.front_to_back()


def test_mutual_occlusion_is_a_loop_of_two():
    assert ZOrder(3, {(0, 2), (2, 0)}).cycles() == ((0, 2),)


@given(zorders())
def test_front_to_back_respects_every_edge_or_there_is_a_loop(zorder):
    has_loop = any((i, i) in reachable_pairs(zorder) for i in range(zorder.num_instances))
    assert bool(zorder.cycles()) == has_loop
    if has_loop:
        with pytest.raises(ZOrderCycle):
            zorder.front_to_back()
    else:
        place = {instance: rank for rank, instance in enumerate(zorder.front_to_back())}
        assert sorted(place) == list(range(zorder.num_instances))
        assert all(place[front] < place[behind] for front, behind in zorder.edges)


@given(zorders(most=5))
def test_there_is_one_shortest_loop_for_every_tangle(zorder):
    reach = reachable_pairs(zorder)
    tangled = {i for i in range(zorder.num_instances) if (i, i) in reach}
    lowest = {i for i in tangled if not any((i, j) in reach and (j, i) in reach for j in tangled if j < i)}
    assert [loop[0] for loop in zorder.cycles()] == sorted(lowest)
    for loop in zorder.cycles():
        every = loops_through(zorder, loop[0])
        assert loop in every
        assert len(loop) == min(map(len, every))


@given(zorders())
def test_broken_takes_edges_out_of_loops_only_and_leaves_none(zorder):
    broken, removed = zorder.broken()
    assert broken.edges | removed == zorder.edges
    assert not broken.edges & removed
    assert broken.cycles() == ()
    reach = reachable_pairs(zorder)
    assert all((behind, front) in reach for front, behind in removed)
    assert zorder.broken() == (broken, removed)


@given(zorders())
def test_broken_takes_out_less_than_half_the_edges_of_the_tangles(zorder):
    reach = reachable_pairs(zorder)
    tangled = [edge for edge in zorder.edges if edge[::-1] in reach]
    assert len(zorder.broken()[1]) <= len(tangled) / 2


def test_broken_needs_one_edge_for_a_ring_and_keeps_the_lowest_in_front():
    ring = {(i, (i + 1) % 6) for i in range(6)}
    assert ZOrder(6, ring).broken()[1] == {(5, 0)}
    assert ZOrder(2, {(0, 1), (1, 0)}).broken()[1] == {(1, 0)}


@given(zorders(most=5), st.data())
def test_closure_adds_what_follows_where_boxes_overlap(zorder, data):
    drawn = data.draw(st.lists(boxes(), min_size=zorder.num_instances, max_size=zorder.num_instances))
    implied = {(i, j) for i, j in reachable_pairs(zorder) if i != j and drawn[i].intersection(drawn[j])}
    assert zorder.closure(drawn) == ZOrder(zorder.num_instances, zorder.edges | implied)


def test_closure_of_a_chain():
    chain = ZOrder(3, {(0, 1), (1, 2)})
    left, right = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
    assert chain.closure([left, left, left]).edges == {(0, 1), (1, 2), (0, 2)}
    assert chain.closure([left, left, right]).edges == {(0, 1), (1, 2)}


@given(zorders(), st.data())
def test_renumbering_instances_changes_nothing_but_numbers(zorder, data):
    new = data.draw(st.permutations(range(zorder.num_instances)))
    other = renumbered(zorder, new)
    assert [{new[f] for f in zorder.occluders(i)} for i in range(len(new))] == [other.occluders(n) for n in new]
    assert len(other.cycles()) == len(zorder.cycles())
    drawn = data.draw(st.lists(boxes(), min_size=len(new), max_size=len(new)))
    moved = [drawn[new.index(i)] for i in range(len(new))]
    assert other.closure(moved) == renumbered(zorder.closure(drawn), new)


def test_a_ring_and_a_ladder_of_thousands_need_no_recursion_and_little_time():
    count = 10_000
    with bounded(5):
        ring = ZOrder(count, {(i, (i + 1) % count) for i in range(count)})
        assert ring.cycles() == (tuple(range(count)),)
        assert ring.broken()[1] == {(count - 1, 0)}
        ladder = ZOrder(count, {(i, i + 1) for i in range(count - 1)} | {(i + 1, i) for i in range(count - 1)})
        assert ladder.cycles() == ((0, 1),)
        assert ladder.broken()[0].front_to_back() == tuple(range(count))
