"""Holes in a row of a shard: nothing where a record always has something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from occlusionformer.data.records.columns import schema
from occlusionformer.data.records.packages import from_extra
from occlusionformer.layout.problems import Path, Problem


@dataclass(frozen=True)
class _Shape:
    """What a value is made of; nothing for plain ones."""

    may_be_null: bool
    parts: tuple[tuple[str, _Shape], ...] = ()
    element: _Shape | None = None


def null_problems(row: dict[str, Any]) -> list[Problem]:
    """Of a row that has the columns of a shard. Elements of lists are never null."""
    return list(_holes(row, _row_shape(), ()))


def _holes(value: Any, shape: _Shape, path: Path) -> Iterator[Problem]:
    if value is None:
        if not shape.may_be_null:
            yield Problem(path, "expected a value, got null")
        return
    for name, part in shape.parts:
        yield from _holes(value[name], part, (*path, name))
    if shape.element is not None:
        if not shape.element.parts and shape.element.element is None:
            yield from (
                Problem((*path, n), "expected a value, got null") for n, item in enumerate(value) if item is None
            )
            return
        for place, item in enumerate(value):
            yield from _holes(item, shape.element, (*path, place))


@lru_cache(maxsize=1)
def _row_shape() -> _Shape:
    return _Shape(
        may_be_null=False, parts=tuple((field.name, _shape(field.type, field.nullable)) for field in schema())
    )


def _shape(kind: Any, may_be_null: bool) -> _Shape:
    types = from_extra("pyarrow.types")
    if types.is_struct(kind):
        parts = tuple((field.name, _shape(field.type, field.nullable)) for field in kind)
        return _Shape(may_be_null=may_be_null, parts=parts)
    if types.is_list(kind):
        return _Shape(may_be_null=may_be_null, element=_shape(kind.value_type, may_be_null=False))
    return _Shape(may_be_null=may_be_null)
