"""What writing a layout in another format would lose: found by reading back what was written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from occlusionformer.layout.box import Box
from occlusionformer.layout.formats.format import Format, ReadOptions
from occlusionformer.layout.problems import Path, Problem, shown
from occlusionformer.layout.region import Polygon
from occlusionformer.layout.schema import Depths, Instance, Layout

ROUNDING = 1e-9
"""Fraction of the canvas by which edges may move; pixel coordinates cannot hold every fraction exactly."""


def losses(layouts: Sequence[Layout], document: object, form: Format) -> list[Problem]:
    """One line for every field of the layouts that the document does not hold, with paths in the layouts."""
    options = ReadOptions(cycles="allow") if "cycles" in form.options else ReadOptions()
    again = form.read(document, options)
    found = []
    for place, (layout, kept) in enumerate(zip(layouts, again, strict=True)):
        path: Path = (place,) if len(layouts) > 1 else ()
        for part, value in _lost(layout, kept, form):
            found.append(Problem((*path, *part), f"the {form.name} format cannot hold {shown(value)}"))
    return found


def _lost(layout: Layout, kept: Layout, form: Format) -> Iterator[tuple[Path, object]]:
    for name in ("prompt", "width", "height", "seed", "closure"):
        if getattr(layout, name) != getattr(kept, name):
            yield (name,), getattr(layout, name)
    if layout.cycles != (form.cycles if "cycles" in form.options else kept.cycles):
        yield ("cycles",), layout.cycles
    for place, (instance, other) in enumerate(zip(layout.instances, kept.instances, strict=True)):
        for name in Instance.model_fields:
            if not _same(getattr(instance, name), getattr(other, name)):
                yield ("instances", place, name), getattr(instance, name)
    if isinstance(layout.order, Depths) and layout.order != kept.order:
        yield ("order", "depths"), layout.order.depths
    elif layout.order != kept.order and layout.zorder != kept.zorder:
        yield ("order",), layout.order


def _same(value: object, other: object) -> bool:
    if isinstance(value, Box) and isinstance(other, Box):
        return _close(value, other)
    if isinstance(value, Polygon) and isinstance(other, Polygon) and len(value.points) == len(other.points):
        return all(_close(point, twin) for point, twin in zip(value.points, other.points, strict=True))
    return value == other


def _close(numbers: Iterable[float], others: Iterable[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=0, abs_tol=ROUNDING) for a, b in zip(numbers, others, strict=True))
