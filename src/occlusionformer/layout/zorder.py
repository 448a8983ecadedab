"""The z-order of instances as a graph of declared relations. Pure Python: no torch, no numpy."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from occlusionformer.layout.box import Box, overlap_bits
from occlusionformer.layout.graph import bits_of, components, line_up, reachable, shortest_loop
from occlusionformer.layout.problems import LONGEST_VALUE, Findings, LayoutError, Problem

Edge = tuple[int, int]
"""(front, behind)"""

NEARBY = 1 / 32
"""Fraction of the canvas: the gap from which on two boxes are too far apart to share an image token.

A token of 16 pixels on a canvas of 512.
"""

MOST_RELATIONS = 2**20
"""Of one order: enough for 1024 instances that all are in front of each other; each takes a hundred bytes."""

MOST_RELATED = 16_384
"""Instances among which relations follow from boxes that overlap: each pair takes a bit."""

LONGEST_LOOP = 20
"""Names of a loop that a message shows."""


class ZOrderCycle(ValueError):  # noqa: N818 - named for what it is
    """Instances that are each in front of the next, and the last in front of the first."""

    def __init__(self, cycle: Sequence[int | str]) -> None:
        super().__init__(cycle)
        self.cycle = tuple(cycle)

    def __str__(self) -> str:
        names = [_cut(str(name)) for name in self.cycle]
        if len(names) > LONGEST_LOOP:
            names[LONGEST_LOOP - 2 : -2] = [f"({len(names) - LONGEST_LOOP} more)"]
        return f"z-order loops: {' > '.join(names)}"


@dataclass(frozen=True)
class ZOrder:
    """Declared relations between instances 0 to `num_instances` - 1, as a set of (front, behind).

    Two instances without an edge have no relation. Loops are allowed here (mutual occlusion is
    real) and found by `cycles`; an instance in front of itself and an edge given twice are refused.
    """

    num_instances: int
    edges: frozenset[Edge]

    def __init__(self, num_instances: int, edges: Iterable[Edge] = ()) -> None:
        given = edges if isinstance(edges, frozenset) else list(edges)
        object.__setattr__(self, "num_instances", num_instances)
        object.__setattr__(self, "edges", frozenset(given))
        findings = Findings()
        findings.add(_edge_problems(num_instances, given))
        findings.raise_any()

    @classmethod
    def from_pairs(cls, num_instances: int, pairs: Iterable[Edge]) -> ZOrder:
        """Relations given one by one as (front, behind)."""
        return cls(num_instances, pairs)

    @classmethod
    def from_total(
        cls, front_to_back: Sequence[int], *, num_instances: int | None = None, boxes: Sequence[Box] | None = None
    ) -> ZOrder:
        """Every listed instance in front of all that follow; those not listed have no relation.

        That is n (n - 1) / 2 edges for n instances. With `boxes`, one for each instance, only pairs
        that overlap or lie less than NEARBY apart get one: the others never meet in an image token.

        Raises LayoutError for more edges than MOST_RELATIONS.
        """
        count = len(front_to_back) if num_instances is None else num_instances
        depths: list[float | None] = [None] * count
        for rank, instance in enumerate(front_to_back):
            if not 0 <= instance < count:
                raise LayoutError([Problem(("front_to_back", rank), f"no instance {instance} of {count}")])
            if depths[instance] is not None:
                raise LayoutError([Problem(("front_to_back", rank), f"instance {instance} is listed twice")])
            depths[instance] = rank
        return cls.from_depths(depths, boxes=boxes)

    @classmethod
    def from_depths(cls, depths: Sequence[float | None], *, boxes: Sequence[Box] | None = None) -> ZOrder:
        """Smaller depth is nearer; equal depths, and None, have no relation. For `boxes` see `from_total`."""
        known = [i for i, depth in enumerate(depths) if depth is not None]
        if boxes is None:
            pairs: Iterable[Edge] = combinations(known, 2)
            check_relations(len(known) * (len(known) - 1) // 2)
        else:
            rows = _related([boxes[i] for i in known], margin=NEARBY)
            check_relations(sum(row.bit_count() for row in rows) // 2)
            pairs = ((known[i], known[j]) for i, row in enumerate(rows) for j in bits_of(row) if i < j)
        edges = set()
        for i, j in pairs:
            near, far = depths[i], depths[j]
            if near is not None and far is not None and near != far:
                edges.add((i, j) if near < far else (j, i))
        return cls._of(len(depths), edges)

    @classmethod
    def _of(cls, num_instances: int, edges: Collection[Edge]) -> ZOrder:
        """An order of edges that are known to be valid."""
        order = cls(num_instances)
        object.__setattr__(order, "edges", frozenset(edges))
        return order

    @classmethod
    def from_occluders(cls, occluders: Sequence[Iterable[int]]) -> ZOrder:
        """An order from, for every instance, the instances in front of it."""
        return cls(len(occluders), [(front, behind) for behind, fronts in enumerate(occluders) for front in fronts])

    def occluders(self, instance: int) -> frozenset[int]:
        """Instances declared in front of this one; not closed under transitivity."""
        return self._occluders[instance]

    def cycles(self) -> tuple[tuple[int, ...], ...]:
        """One loop for every group of instances that are, directly or not, all in front of each other.

        Each is the shortest loop through the lowest instance of its group and starts there; loops come in
        ascending order. Empty for an order that can be painted.
        """
        return tuple(sorted(shortest_loop(self._behind, group[0], set(group)) for group in self._loops()))

    def front_to_back(self) -> tuple[int, ...]:
        """All instances, everyone after those in front of it, the lowest first where that leaves a choice.

        Raises ZOrderCycle.
        """
        missing = [len(fronts) for fronts in self._occluders]
        ready = [i for i, count in enumerate(missing) if count == 0]
        order = []
        while ready:
            order.append(heapq.heappop(ready))
            for behind in self._behind[order[-1]]:
                missing[behind] -= 1
                if missing[behind] == 0:
                    heapq.heappush(ready, behind)
        if len(order) < self.num_instances:
            first = self.cycles()[0]
            raise ZOrderCycle((*first, first[0]))
        return tuple(order)

    def back_to_front(self) -> tuple[int, ...]:
        """All instances, everyone before those in front of it, the lowest first where that leaves a choice.

        Raises ZOrderCycle.
        """
        reversed_edges = frozenset((behind, front) for front, behind in self.edges)
        return self._of(self.num_instances, reversed_edges).front_to_back()

    def ranks(self) -> list[int]:
        """For every instance the most that are in front of it, each in front of the next; loops are broken first."""
        acyclic = self.broken()[0] if self.cycles() else self
        ranks = [0] * self.num_instances
        for place in acyclic.front_to_back():
            ranks[place] = max((ranks[front] + 1 for front in acyclic.occluders(place)), default=0)
        return ranks

    def closure(self, boxes: Sequence[Box]) -> ZOrder:
        """This order and what follows from it: front of front is in front, where the two boxes overlap.

        Declared edges all stay. In a loop everybody is in front of everybody else. Costs as much as there are edges
        in the end, and a bit for every two instances. Raises LayoutError for more edges than MOST_RELATIONS.
        """
        nodes = sorted({instance for edge in self.edges for instance in edge})
        place = {node: rank for rank, node in enumerate(nodes)}
        reach = reachable([[place[behind] for behind in self._behind[node]] for node in nodes])
        meeting = _related([boxes[node] for node in nodes], margin=0)
        implied = [near & behind for near, behind in zip(meeting, reach, strict=True)]
        check_relations(sum(row.bit_count() for row in implied))
        following = ((nodes[i], nodes[j]) for i, row in enumerate(implied) for j in bits_of(row))
        return self._of(self.num_instances, self.edges.union(following))

    def broken(self) -> tuple[ZOrder, frozenset[Edge]]:
        """An order without loops, and the edges taken out for it.

        Inside each group of instances that loop, they are lined up with the greedy rule of Eades, Lin and Smyth
        (1993): whoever nobody left is in front of comes next, whoever is in front of nobody left comes last,
        otherwise the one in front of the most, less those in front of it, the lowest on a tie. Edges against that
        line are taken out. They are few, but not always the fewest: finding those is NP-hard.
        """
        removed: set[Edge] = set()
        for group in self._loops():
            place = {instance: rank for rank, instance in enumerate(line_up(self._behind, group))}
            removed.update(
                (front, behind)
                for front in group
                for behind in self._behind[front]
                if place.get(behind, self.num_instances) < place[front]
            )
        return self._of(self.num_instances, self.edges - removed), frozenset(removed)

    def _loops(self) -> list[list[int]]:
        """Groups of instances that are, directly or not, all in front of each other."""
        return [group for group in components(self._behind) if len(group) > 1]

    @cached_property
    def _occluders(self) -> tuple[frozenset[int], ...]:
        fronts: list[list[int]] = [[] for _ in range(self.num_instances)]
        for front, behind in self.edges:
            fronts[behind].append(front)
        return tuple(map(frozenset, fronts))

    @cached_property
    def _behind(self) -> tuple[tuple[int, ...], ...]:
        """For every instance those directly behind it, ascending."""
        behinds: list[list[int]] = [[] for _ in range(self.num_instances)]
        for front, behind in self.edges:
            behinds[front].append(behind)
        return tuple(tuple(sorted(each)) for each in behinds)


def check_relations(count: int) -> None:
    """Raises LayoutError for an order with more relations than MOST_RELATIONS."""
    if count > MOST_RELATIONS:
        raise LayoutError([Problem(("order",), f"expected at most {MOST_RELATIONS} relations, got {count}")])


def _related(boxes: Sequence[Box], *, margin: float) -> list[int]:
    """For every instance those it can meet, as bits."""
    if len(boxes) > MOST_RELATED:
        text = f"expected at most {MOST_RELATED} instances where relations follow from boxes, got {len(boxes)}"
        raise LayoutError([Problem(("order",), text)])
    return overlap_bits(boxes, margin=margin)


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_VALUE else f"{name[:LONGEST_VALUE]}..."


def _edge_problems(num_instances: int, edges: Collection[Edge]) -> Iterator[Problem]:
    seen: set[Edge] = set()
    for front, behind in edges:
        if not (0 <= front < num_instances and 0 <= behind < num_instances):
            yield Problem(("edges",), f"expected instances 0 to {num_instances - 1}, got {front} > {behind}")
        elif front == behind:
            yield Problem(("edges",), f"instance {front} cannot be in front of itself")
        elif (front, behind) in seen:
            yield Problem(("edges",), f"{front} > {behind} is given twice")
        seen.add((front, behind))
