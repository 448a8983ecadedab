"""What is wrong between the ids of a layout and its order.

Works on parts as they were given, checked or not, so that one wrong field hides nothing about the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from occlusionformer.layout.problems import Problem, shown
from occlusionformer.layout.zorder import Edge, ZOrder, ZOrderCycle

Mention = tuple[tuple[str | int, ...], str]
"""An id in the order, and its path."""


def readable_ids(instances: object) -> list[str | None]:
    """The ids of instances, None where there is none to read."""
    if not isinstance(instances, Sequence) or isinstance(instances, str):
        return []
    return [_text(_part(instance, "id")) for instance in instances]


def id_problems(ids: Sequence[str | None]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for place, name in enumerate(ids):
        if name is not None and first.setdefault(name, place) != place:
            yield Problem(("instances", place, "id"), f"expected an id of its own, got {shown(name)} again")


def order_problems(order: object, ids: Sequence[str | None], *, refuse_loops: bool) -> Iterator[Problem]:
    """Unknown ids, relations given twice or to oneself, and, if asked, loops."""
    index = {name: place for place, name in enumerate(ids) if name is not None}
    for path, name in _mentions(order):
        if name not in index:
            yield Problem(("order", *path), f"no instance {shown(name)}")
    yield from _repeated_in_list(_part(order, "front_to_back"))
    pairs = list(_pairs(_part(order, "pairs")))
    yield from _pair_problems(pairs)
    if refuse_loops:
        edges = {(index[f], index[b]) for _, f, b in pairs if f in index and b in index and f != b}
        yield from _loop_problems(edges, ids)


def _mentions(order: object) -> Iterator[Mention]:
    for place, name in enumerate(_listed(_part(order, "front_to_back"))):
        if isinstance(name, str):
            yield ("front_to_back", place), name
    for place, pair in enumerate(_listed(_part(order, "pairs"))):
        for role in ("front", "behind"):
            if (name := _text(_part(pair, role))) is not None:
                yield ("pairs", place, role), name
    depths = _part(order, "depths")
    for name in depths if isinstance(depths, Mapping) else ():
        if isinstance(name, str):
            yield ("depths", name), name


def _pairs(pairs: object) -> Iterator[tuple[int, str, str]]:
    for place, pair in enumerate(_listed(pairs)):
        front, behind = _text(_part(pair, "front")), _text(_part(pair, "behind"))
        if front is not None and behind is not None:
            yield place, front, behind


def _pair_problems(pairs: Sequence[tuple[int, str, str]]) -> Iterator[Problem]:
    first: dict[tuple[str, str], int] = {}
    for place, front, behind in pairs:
        path = ("order", "pairs", place)
        if front == behind:
            yield Problem(path, f"expected two instances, got {shown(front)} in front of itself")
        elif first.setdefault((front, behind), place) != place:
            yield Problem(path, f"expected every pair once, got {shown(front)} > {shown(behind)} again")


def _repeated_in_list(front_to_back: object) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for place, name in enumerate(_listed(front_to_back)):
        if isinstance(name, str) and first.setdefault(name, place) != place:
            yield Problem(("order", "front_to_back", place), f"expected every id once, got {shown(name)} again")


def _loop_problems(edges: set[Edge], ids: Sequence[str | None]) -> Iterator[Problem]:
    related = sorted({place for edge in edges for place in edge})  # in a document there may be far more that are not
    number = {place: number for number, place in enumerate(related)}
    for loop in ZOrder(len(related), frozenset((number[front], number[behind]) for front, behind in edges)).cycles():
        yield Problem(("order",), str(ZOrderCycle([str(ids[related[i]]) for i in (*loop, loop[0])])))


def _part(whole: object, name: str) -> Any:
    if isinstance(whole, float | int | str | None):  # told sooner than that it is no mapping
        return None
    if isinstance(whole, BaseModel):
        return getattr(whole, name, None)
    return whole.get(name) if isinstance(whole, Mapping) else None


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
