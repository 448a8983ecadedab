"""The orders of a layout that are worth seeing side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

from occlusionformer.layout import Layout, Pair, Pairs, ZOrder

MOST_PERMUTED = 3
"""Instances up to which every order is shown: six pictures. Beyond, pairs are swapped one at a time."""

Edge = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class OrderVariant:
    """The layout under another order."""

    layout: Layout
    title: str
    """What is different."""
    detail: str
    """Everybody from front to back, or the loop that prevents saying so."""


def order_variants(layout: Layout) -> list[OrderVariant]:
    """The layout as declared, then under other orders, none of which says the same about overlapping boxes.

    Up to MOST_PERMUTED instances these are all total orders; beyond, each pair of overlapping instances is turned
    round in turn, the widest overlap first, and a pair that is not related is shown both ways. Swapping one pair may
    close a loop: it is kept, as mutual occlusion.
    """
    overlapping = _overlapping_pairs(layout)
    declared = layout.zorder
    edges = frozenset() if declared is None else declared.edges
    title = "declared order" if declared is not None else "no order declared"
    found = [OrderVariant(layout=layout, title=title, detail=_description(layout, edges))]
    seen = {None if declared is None else _meaning(edges, overlapping)}
    others = _permuted(layout) if len(layout.instances) <= MOST_PERMUTED else _swapped(layout, edges, overlapping)
    for name, other in others:
        if overlapping and (meaning := _meaning(other, overlapping)) not in seen:
            seen.add(meaning)
            found.append(OrderVariant(layout=_with(layout, other), title=name, detail=_description(layout, other)))
    return found


def _permuted(layout: Layout) -> Iterator[tuple[str, frozenset[Edge]]]:
    for order in permutations(range(len(layout.instances))):
        yield "other order", ZOrder.from_total(order).edges


def _swapped(layout: Layout, edges: frozenset[Edge], overlapping: list[Edge]) -> Iterator[tuple[str, frozenset[Edge]]]:
    ids = [instance.id for instance in layout.instances]
    for i, j in overlapping:
        for front, behind in ((i, j), (j, i)):
            word = "swapped" if edges & {(i, j), (j, i)} else "added"
            yield f"{word}: {ids[front]} > {ids[behind]}", edges - {(behind, front)} | {(front, behind)}


def _meaning(edges: frozenset[Edge], overlapping: list[Edge]) -> frozenset[Edge]:
    """The relations that show: those between boxes that overlap."""
    both_ways = {*overlapping, *((j, i) for i, j in overlapping)}
    return edges & both_ways


def _overlapping_pairs(layout: Layout) -> list[Edge]:
    """Pairs of places, the widest overlap first."""
    areas: dict[Edge, float] = {}
    for i, j in combinations(range(len(layout.instances)), 2):
        common = layout.instances[i].box.intersection(layout.instances[j].box)
        if common is not None:
            areas[i, j] = common.area
    return sorted(areas, key=lambda pair: (-areas[pair], pair))


def _with(layout: Layout, edges: frozenset[Edge]) -> Layout:
    ids = [instance.id for instance in layout.instances]
    pairs = tuple(Pair(front=ids[front], behind=ids[behind]) for front, behind in sorted(edges))
    return layout.model_copy(update={"order": Pairs(pairs=pairs), "cycles": "allow", "closure": False})


def _description(layout: Layout, edges: frozenset[Edge]) -> str:
    ids = [instance.id for instance in layout.instances]
    order = ZOrder(len(ids), edges)
    if loops := order.cycles():
        return f"loop: {' > '.join(ids[place] for place in (*loops[0], loops[0][0]))}"
    related = {place for edge in edges for place in edge}
    return " > ".join(ids[place] for place in order.front_to_back() if place in related)
