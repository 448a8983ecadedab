"""What writing a layout in another format would lose: found by reading back what was written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from occlusionformer.layout.box import Box
from occlusionformer.layout.formats.format import Format, ReadOptions
from occlusionformer.layout.problems import Path, Problem, shown
from occlusionformer.layout.region import Polygon
from occlusionformer.layout.schema import Depths, Instance, Layout

ROUNDING = 1e-9
"""Fraction of the canvas by which edges may move; pixel coordinates cannot hold every fraction exactly."""


def losses(layouts: Sequence[Layout], document: object, form: Format) -> list[Problem]:
    """One line for every field of the layouts that the document does not hold, with paths in the layouts.

    What documents of a format never hold is given to the reader, each layout by itself, and told as lost.
    """
    again = [_again(layout, form) for layout in layouts] if form.needs else form.read(document, _options(form))
    found = []
    for place, (layout, kept) in enumerate(zip(layouts, again, strict=True)):
        path: Path = (place,) if len(layouts) > 1 else ()
        for part, text in _lost(layout, kept, form):
            found.append(Problem((*path, *part), f"the {form.name} format {text}"))
    return found


def _again(layout: Layout, form: Format) -> Layout:
    given = {name: getattr(layout, name) for name in form.needs}
    (again,) = form.read(form.write_one(layout), replace(_options(form), **given))
    return again


def _options(form: Format) -> ReadOptions:
    return ReadOptions(cycles="allow") if "cycles" in form.options else ReadOptions()


def _lost(layout: Layout, kept: Layout, form: Format) -> Iterator[tuple[Path, str]]:
    for name in ("prompt", "width", "height", "seed", "closure"):
        if name in form.needs or getattr(layout, name) != getattr(kept, name):
            yield (name,), _cannot_hold(getattr(layout, name))
    if layout.cycles != (form.cycles if "cycles" in form.options else kept.cycles):
        yield ("cycles",), _cannot_hold(layout.cycles)
    places = form.places(layout)
    written = dict(zip(places, kept.instances, strict=True))
    for place, instance in enumerate(layout.instances):
        for name in Instance.model_fields:
            value, other = getattr(instance, name), getattr(written[place], name)
            if not _same(value, other):
                becomes = f", it becomes {shown(list(other))}" if isinstance(other, Box) else ""
                yield ("instances", place, name), f"{_cannot_hold(value)}{becomes}"
    yield from _lost_order(layout, kept, places)


def _lost_order(layout: Layout, kept: Layout, places: Sequence[int]) -> Iterator[tuple[Path, str]]:
    """What became of the order; `places` are those of the kept instances in the layout."""
    depths = layout.order.depths if isinstance(layout.order, Depths) else None
    if depths is not None and depths != _depths(layout, kept, places):
        yield ("order", "depths"), _cannot_hold(depths)
    declared = None if layout.zorder is None else layout.zorder.edges
    found = None if kept.zorder is None else {(places[front], places[behind]) for front, behind in kept.zorder.edges}
    if declared == found or len(layout.instances) < 2:
        return
    if declared is None:
        yield ("order",), "cannot leave the order open"
        return
    if depths is None and (found is None or not declared <= found):
        yield ("order",), _cannot_hold(layout.order)
    if found is not None and (added := len(found - declared)):
        yield ("order",), f"cannot leave {added} {'pair' if added == 1 else 'pairs'} of instances without a relation"


def _depths(layout: Layout, kept: Layout, places: Sequence[int]) -> dict[str, float] | None:
    """The depths that were kept, by the ids of the layout."""
    if not isinstance(kept.order, Depths):
        return None
    names = {again.id: layout.instances[place].id for place, again in zip(places, kept.instances, strict=True)}
    return {names[name]: depth for name, depth in kept.order.depths.items()}


def _cannot_hold(value: object) -> str:
    return f"cannot hold {shown(list(value) if isinstance(value, Box) else value)}"


def _same(value: object, other: object) -> bool:
    if isinstance(value, Box) and isinstance(other, Box):
        return _close(value, other)
    if isinstance(value, Polygon) and isinstance(other, Polygon) and len(value.points) == len(other.points):
        return all(_close(point, twin) for point, twin in zip(value.points, other.points, strict=True))
    return value == other


def _close(numbers: Iterable[float], others: Iterable[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=0, abs_tol=ROUNDING) for a, b in zip(numbers, others, strict=True))
