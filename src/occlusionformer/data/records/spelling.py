"""Reads columns as other programs rewrite them: extra columns, another order, equivalent types.

pandas writes lists of nothing as null, polars writes `large_string`, `string_view` and `large_list`, the Hub's library
whole numbers of 64 bits. All that is read as the columns of `schema`; what has no place there is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from occlusionformer.data.records.columns import schema
from occlusionformer.data.records.packages import from_extra
from occlusionformer.layout.problems import Path, Problem

if TYPE_CHECKING:
    import pyarrow as pa


def column_problems(found: pa.Schema) -> list[Problem]:
    """Columns, and fields in them, that are missing or of a type that no record has; none for those that are more."""
    return list(_problems(found, schema(), ()))


def is_own(found: pa.Schema) -> bool:
    """Whether the columns of records are spelt as this package does; others may be beside them."""
    return all(
        name in found.names and bare_type(found.field(name).type) == bare_type(schema().field(name).type)
        for name in schema().names
    )


def conformed(table: pa.Table) -> pa.Table:
    """The columns of records alone, spelt as this package does, of a table without `column_problems`.

    Raises ValueError for numbers that do not fit.
    """
    arrow: Any = from_extra("pyarrow")
    wanted = [field for field in schema() if field.name in table.schema.names]
    columns = []
    for field in wanted:
        column = table[field.name]
        if bare_type(column.type) != bare_type(field.type):
            try:
                column = arrow.array(column.to_pylist(), type=field.type)
            except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError) as error:
                raise ValueError(f"{field.name}: expected {bare_type(field.type)}: {error}") from None
        columns.append(column)
    return arrow.Table.from_arrays(columns, names=[field.name for field in wanted])


def leaves(kind: Any, name: str) -> Iterator[str]:
    """Names of the values that a column holds, `a.b` for those within, in the order of a Parquet file's columns."""
    types = from_extra("pyarrow.types")
    if types.is_struct(kind):
        for field in kind:
            yield from leaves(field.type, f"{name}.{field.name}")
    elif types.is_map(kind):
        yield from leaves(kind.key_type, name)
        yield from leaves(kind.item_type, name)
    elif _is_list(kind):
        yield from leaves(kind.value_type, name)
    else:
        yield name


def bare_type(kind: Any) -> str:
    """A type in words, leaving out which parts may be null: other programs that write shards forget that."""
    types = from_extra("pyarrow.types")
    if types.is_struct(kind):
        return "{" + ", ".join(f"{field.name}: {bare_type(field.type)}" for field in kind) + "}"
    return f"list of {bare_type(kind.value_type)}" if types.is_list(kind) else str(kind)


def _problems(found: Sequence[Any], expected: Sequence[Any], path: Path) -> Iterator[Problem]:
    """Problems of the fields of a table or struct."""
    named = {field.name: field for field in found}
    for field in expected:
        there = (*path, field.name)
        if field.name not in named:
            yield Problem(there, f"expected this {'field' if path else 'column'}, got none")
        elif not (field.nullable and from_extra("pyarrow.types").is_null(named[field.name].type)):
            yield from _type_problems(named[field.name].type, field.type, there)


def _type_problems(found: Any, expected: Any, path: Path) -> Iterator[Problem]:
    types = from_extra("pyarrow.types")
    if types.is_struct(expected) and types.is_struct(found):
        yield from _problems(list(found), list(expected), path)
    elif types.is_list(expected) and _is_list(found):
        if not types.is_null(found.value_type):  # lists without an element
            yield from _type_problems(found.value_type, expected.value_type, path)
    elif not _holds(found, expected):
        yield Problem(path, f"expected {bare_type(expected)}, got {bare_type(found)}")


def _holds(found: Any, expected: Any) -> bool:
    """Whether one plain type holds what the other does."""
    types = from_extra("pyarrow.types")
    if types.is_dictionary(found):
        found = found.value_type
    if types.is_string(expected):
        return _is_text(found)
    if types.is_floating(expected):
        return bool(types.is_floating(found) or types.is_integer(found))
    return bool(types.is_integer(expected) and types.is_integer(found))


def _is_text(kind: Any) -> bool:
    types = from_extra("pyarrow.types")
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    types = from_extra("pyarrow.types")
    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(is_kind(kind) for is_kind in kinds)
