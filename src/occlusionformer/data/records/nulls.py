"""Finds nulls in rows of a shard where a record needs a value, and masks without height and width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from occlusionformer.data.records.columns import schema
from occlusionformer.data.records.packages import from_extra
from occlusionformer.layout.problems import Path, Problem, shown


@dataclass(frozen=True)
class _Shape:
    """The fields or elements of a nested value; none for plain values."""

    may_be_null: bool
    parts: tuple[tuple[str, _Shape], ...] = ()
    element: _Shape | None = None


SIDES = 2
"""Numbers in the size of a mask."""


def null_problems(row: dict[str, Any]) -> list[Problem]:
    """Problems of a row with the columns of a shard. Elements of lists are never null."""
    return list(_holes(row, _row_shape(), ())) or list(_sizes(row))


def has_holes(table: Any) -> bool:
    """Whether any row of a table with columns of a shard, or fields of them, may have `null_problems`; quick."""
    return any(
        _has_holes(chunk, schema().field(name).type, schema().field(name).nullable)
        for name in table.schema.names
        for chunk in table[name].chunks
    )


def _has_holes(array: Any, kind: Any, may_be_null: bool) -> bool:
    types = from_extra("pyarrow.types")
    if array.null_count:
        if not may_be_null:
            return True
        array = array.drop_null()
    if types.is_list(kind):
        return _has_holes(array.flatten(), kind.value_type, may_be_null=False)
    if not types.is_struct(kind):
        return False
    fields = [field for field in kind if array.type.get_field_index(field.name) >= 0]
    is_mask = fields and [field.name for field in kind] == ["size", "counts"]
    if is_mask and fields[0].name == "size" and _has_odd_sizes(array.field("size")):
        return True
    return any(_has_holes(array.field(field.name), field.type, field.nullable) for field in fields)


def _has_odd_sizes(sizes: Any) -> bool:
    compute = from_extra("pyarrow.compute")
    return bool(compute.any(compute.not_equal(compute.list_value_length(sizes), SIDES)).as_py())


def _sizes(row: dict[str, Any]) -> Iterator[Problem]:
    for place, instance in enumerate(row["instances"]):
        for name in ("visible_mask", "amodal_mask"):
            if instance[name] is not None and len(instance[name]["size"]) != SIDES:
                text = f"expected height and width, got {shown(instance[name]['size'])}"
                yield Problem(("instances", place, name, "size"), text)


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
