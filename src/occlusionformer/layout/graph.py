"""Loops in a directed graph: finding them, showing one, lining nodes up to break them. Never recursive."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterator, Sequence

Successors = Sequence[Sequence[int]]
"""For every node the nodes its edges lead to, ascending."""


def components(successors: Successors) -> list[list[int]]:
    """Strongly connected components in linear time (Gabow); each one after all that it leads to."""
    search = _ComponentSearch(successors)
    for root in range(len(successors)):
        if root not in search.number:
            search.walk_from(root)
    return search.found


class _ComponentSearch:
    """A depth-first walk that keeps, of the nodes not yet in a component, where each possible component begins."""

    def __init__(self, successors: Successors) -> None:
        self.successors = successors
        self.number: dict[int, int] = {}
        self.found: list[list[int]] = []
        self._is_settled = [False] * len(successors)
        self._pending: list[int] = []
        self._beginnings: list[int] = []
        self._path: list[tuple[int, Iterator[int]]] = []

    def walk_from(self, root: int) -> None:
        self._enter(root)
        while self._path:
            node, unseen = self._path[-1]
            following = next(unseen, None)
            if following is None:
                self._leave(node)
            elif following not in self.number:
                self._enter(following)
            elif not self._is_settled[following]:
                while self.number[self._beginnings[-1]] > self.number[following]:
                    self._beginnings.pop()

    def _enter(self, node: int) -> None:
        self.number[node] = len(self.number)
        self._pending.append(node)
        self._beginnings.append(node)
        self._path.append((node, iter(self.successors[node])))

    def _leave(self, node: int) -> None:
        self._path.pop()
        if self._beginnings[-1] == node:
            self._beginnings.pop()
            members = [self._pending.pop()]
            while members[-1] != node:
                members.append(self._pending.pop())
            for member in members:
                self._is_settled[member] = True
            self.found.append(sorted(members))


def shortest_loop(successors: Successors, start: int, members: Collection[int]) -> tuple[int, ...]:
    """The shortest way from `start` back to it inside its component, without the second `start`."""
    came_from = {start: start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for following in successors[node]:
            if following == start:
                loop = [node]
                while loop[-1] != start:
                    loop.append(came_from[loop[-1]])
                return tuple(reversed(loop))
            if following in members and following not in came_from:
                came_from[following] = node
                queue.append(following)
    raise AssertionError(f"node {start} is on no loop")


def line_up(successors: Successors, members: Sequence[int]) -> list[int]:
    """The nodes of a component in an order that few of its edges run against.

    The greedy rule of Eades, Lin and Smyth (1993): a node nothing left leads to goes next to the front, a
    node that leads to nothing left goes to the back, otherwise the node with the greatest surplus of edges out
    over edges in goes to the front; the lowest on a tie.
    """
    left = set(members)
    after = {node: [n for n in successors[node] if n in left] for node in members}
    before: dict[int, list[int]] = {node: [] for node in members}
    for node in members:
        for n in after[node]:
            before[n].append(node)
    outs = {node: len(after[node]) for node in members}
    ins = {node: len(before[node]) for node in members}
    queue = [_urgency(node, ins[node], outs[node]) for node in members]
    heapq.heapify(queue)
    front: list[int] = []
    back: list[int] = []
    while queue:
        entry = heapq.heappop(queue)
        node = entry[-1]
        if node not in left or entry != _urgency(node, ins[node], outs[node]):
            continue
        left.remove(node)
        (back if entry[0] == _SINK else front).append(node)
        for n in after[node]:
            ins[n] -= 1
        for n in before[node]:
            outs[n] -= 1
        for n in left.intersection(after[node] + before[node]):
            heapq.heappush(queue, _urgency(n, ins[n], outs[n]))
    return front + back[::-1]


_SOURCE, _SINK, _BETWEEN = range(3)


def _urgency(node: int, ins: int, outs: int) -> tuple[int, int, int]:
    """Sorts nodes by when `line_up` takes them: sources, sinks, then by surplus of edges out."""
    if ins == 0:
        return _SOURCE, 0, node
    return (_SINK, 0, node) if outs == 0 else (_BETWEEN, ins - outs, node)


def reachable(successors: Successors) -> list[int]:
    """For every node, the nodes some path leads to, as the bits of an integer; itself only when on a loop."""
    reach = [0] * len(successors)
    for members in components(successors):
        seen = 0
        for node in members:
            for following in successors[node]:
                seen |= reach[following] | 1 << following
        for node in members:
            reach[node] = seen
    return reach


def bits_of(row: int) -> Iterator[int]:
    """The places of the bits that are set, ascending."""
    for start, byte in enumerate(row.to_bytes((row.bit_length() + 7) // 8, "little")):
        if byte:
            yield from (8 * start + bit for bit in _BITS[byte])


_BITS = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))
"""Of every byte."""
