"""Order fields of rows: `occludes`, the rows this one is in front of, and `z`, the higher the nearer."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from occlusionformer.layout.box import is_finite, is_number
from occlusionformer.layout.formats.draft import Draft, Fields
from occlusionformer.layout.problems import Path, shown
from occlusionformer.layout.schema import Depths, FrontToBack, Layout


def read_occludes(draft: Draft, rows: Sequence[Fields], places: Mapping[Any, int], what: str) -> None:
    """Relations of rows by the numbers of other rows: a number, a list of them, or text with commas between them.

    `places` are the places of rows by number, or by name where rows have names. A row without the field is in front
    of nobody, and a document in which no row has it declares no order.
    """
    if not any("occludes" in row for row in rows):
        return
    draft.pairs = []
    for place, row in enumerate(rows):
        path = (*draft.origins["instances", place], "occludes")
        seen: set[int | str] = set()
        for number in _numbers(draft, row.get("occludes", ()), path, places):
            if number not in places:
                draft.report(path, f"no {what} {number} in this picture")
            elif places[number] == place:
                draft.report(path, f"expected another {what}, got {number} in front of itself")
            elif number in seen:
                draft.report(path, f"expected every {what} once, got {number} again")
            else:
                draft.pairs.append((place, places[number]))
            seen.add(number)


def read_order(draft: Draft, rows: Sequence[Fields], places: Mapping[Any, int], what: str) -> None:
    """Relations or depths of rows: `occludes`, or `z`, in one document never both."""
    read_occludes(draft, rows, places, what)
    if not any("z" in row for row in rows):
        return
    draft.depths = {}
    for place, row in enumerate(rows):
        path = (*draft.origins["instances", place], "z")
        if "z" in row:
            height = row["z"]
            if draft.pairs is not None:
                draft.report(path, "expected either z or occludes in a document, got both")
            elif not is_number(height) or not is_finite(height):
                draft.report(path, f"expected a finite number, got {shown(height)}")
            else:
                draft.depths[place] = 0.0 - height


def occludes(layout: Layout) -> list[list[int]] | None:
    """For every instance the places, from 0, of those it is in front of; None when no order is declared."""
    zorder = layout.zorder
    if zorder is None:
        return None
    behind: list[list[int]] = [[] for _ in layout.instances]
    for front, rear in sorted(zorder.edges):
        behind[front].append(rear)
    return behind


def order_fields(layout: Layout, numbers: Sequence[int]) -> list[dict[str, object]]:
    """`z` of every instance for a total order or depths, `occludes` with their numbers for pairs."""
    order = layout.order
    if isinstance(order, FrontToBack):
        heights: dict[str, float] = {
            name: len(order.front_to_back) - rank for rank, name in enumerate(order.front_to_back)
        }
    elif isinstance(order, Depths):
        heights = {name: _tidy(0.0 - depth) for name, depth in order.depths.items()}
    else:
        behind = occludes(layout)
        return [{"occludes": [numbers[b] for b in each]} for each in behind] if behind else [{} for _ in numbers]
    return [{"z": heights[i.id]} if i.id in heights else {} for i in layout.instances]


def _numbers(draft: Draft, value: object, path: Path, names: Container[object]) -> Iterator[int | str]:
    """The numbers of a field: one, a list of them, or text with commas between and perhaps behind them."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list | tuple):
        draft.report(path, f'expected a list of numbers or text like "2,3", got {shown(value)}')
        return
    for item in value:
        if (isinstance(item, str) and item in names) or (isinstance(item, int) and not isinstance(item, bool)):
            yield item
        elif isinstance(item, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", item):
            yield int(item)
        else:
            draft.report(path, f"expected whole numbers, got {shown(item)}")


def _tidy(number: float) -> float:
    return int(number) if number.is_integer() else number
