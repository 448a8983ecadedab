"""Rows of Parquet files; their pictures are decoded only when they are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from occlusionformer.evaluation.benchmarks.source import BenchmarkError
from occlusionformer.pictures import read_picture

if TYPE_CHECKING:
    import pyarrow.parquet
    from PIL import Image


class Row(NamedTuple):
    """One row without its picture."""

    place: str
    """File and number, for messages."""
    number: int
    """Number of the row over all files, from 0."""
    fields: dict[str, Any]
    picture: Callable[[], Image.Image] | None
    """Opens the picture, where the table has one."""


def rows(
    paths: Sequence[Path], columns: Sequence[str], *, optional: Sequence[str] = (), picture: str | None = None
) -> Iterator[Row]:
    """The rows of files in order, with `columns` and those of `optional` that there are; other columns are left unread.

    Raises BenchmarkError for files that are no tables or lack a column.
    """
    total = 0
    for path in paths:
        table = _open(path)
        names = table.schema_arrow.names
        wanted = [*columns, *([picture] if picture else [])]
        if missing := [name for name in wanted if name not in names]:
            raise BenchmarkError(
                [f"{path.name}: expected a column {name!r}, got {', '.join(names)}" for name in missing]
            )
        number = 0
        read = [*columns, *(name for name in optional if name in names)]
        for group in range(table.num_row_groups):
            for place, fields in enumerate(table.read_row_group(group, columns=read).to_pylist()):
                opened = partial(_picture, path, picture, group, place) if picture else None
                yield Row(f"{path.name} row {number}", total, fields, opened)
                number += 1
                total += 1


def _open(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise BenchmarkError(["pyarrow: expected to be installed, as the extra `eval` does"]) from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise BenchmarkError([f"{path.name}: not Parquet: {error}"]) from None


@lru_cache(maxsize=2)
def _pictures(path: Path, column: str, group: int) -> list[Any]:
    """A row group of pictures, as it is stored: items that follow each other share it."""
    found: list[Any] = _open(path).read_row_group(group, columns=[column]).column(column).to_pylist()
    return found


def _picture(path: Path, column: str, group: int, place: int) -> Image.Image:
    stored = _pictures(path, column, group)[place]
    content = stored.get("bytes") if isinstance(stored, dict) else stored
    if not isinstance(content, bytes):
        raise BenchmarkError([f"{path.name}: {column}: expected the bytes of a picture in row group {group}, {place}"])
    return read_picture(content, name=f"{path.name}: {column}, row group {group}, {place}").image
