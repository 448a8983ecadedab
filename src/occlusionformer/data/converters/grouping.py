"""Groups the rows of a large file by picture, in a temporary file, since the file is not sorted by picture."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from occlusionformer.data.converters.fields import LARGEST_NUMBER
from occlusionformer.data.records.packages import from_extra
from occlusionformer.layout.problems import Problem, shown


class Grouped:
    """The rows of a list by a whole number in one of their fields, in a temporary file that goes away with the block.

    Rows of a number keep their order. Those that cannot be kept are told by `faults`. Raises OSError where the disk is
    full.
    """

    def __init__(self, rows: Iterable[Any], list_name: str, field: str) -> None:
        json = from_extra("orjson")
        self._loads, self._dumps = json.loads, json.dumps
        self._list_name, self._field = list_name, field
        self._folder = tempfile.TemporaryDirectory(prefix="occlusionformer-")
        path = Path(self._folder.name) / "rows.sqlite"
        self._table = sqlite3.connect(path)
        try:
            self._table.execute("PRAGMA journal_mode = OFF")
            self._table.execute("PRAGMA synchronous = OFF")
            self._table.execute("CREATE TABLE rows (place INTEGER PRIMARY KEY, number INTEGER, value BLOB)")
            self._table.execute("CREATE TABLE faults (place INTEGER PRIMARY KEY, field TEXT, text TEXT)")
            self._table.executemany("INSERT INTO rows VALUES (?, ?, ?)", self._entries(rows))
            self._table.execute("CREATE INDEX by_number ON rows (number)")
        except sqlite3.Error as error:
            self._close()
            raise OSError(f"{path}: cannot keep annotations for a while: {error}") from None
        except BaseException:
            self._close()
            raise

    def of(self, number: int) -> list[Any]:
        """The rows with this number; empty if there are none."""
        return [row for _, row in self.places_of(number)]

    def places_of(self, number: int) -> list[tuple[int, Any]]:
        """The rows with this number, each with its index in the list."""
        found = self._table.execute("SELECT place, value FROM rows WHERE number = ? ORDER BY place", (number,))
        return [(place, self._loads(value)) for place, value in found]

    def others(self, known: Container[int]) -> Iterator[tuple[int, Problem]]:
        """Numbers outside `known` in ascending order, each with a problem that names a row that has it."""
        for place, number in self._table.execute("SELECT place, number FROM rows ORDER BY number, place"):
            if number not in known:
                path = (self._list_name, place, self._field)
                yield number, Problem(path, f"expected the id of an image of this file, got {number}")

    def faults(self) -> Iterator[Problem]:
        """Problems of rows without a number, and of rows that could not be stored."""
        for place, field, text in self._table.execute("SELECT place, field, text FROM faults ORDER BY place"):
            yield Problem((self._list_name, place, *([field] if field else [])), text)

    def _entries(self, rows: Iterable[Any]) -> Iterator[tuple[int, int, bytes]]:
        for place, row in enumerate(rows):
            number = row.get(self._field) if isinstance(row, dict) else None
            if type(number) is int and abs(number) <= LARGEST_NUMBER:
                try:
                    yield place, number, self._dumps(row)
                    continue
                except TypeError as error:
                    field, text = "", f"expected what JSON can hold: {error}, got {shown(row)}"
            elif isinstance(row, dict):
                got = shown(number) if self._field in row else "nothing"
                field, text = self._field, f"expected a whole number of at most 64 bits, got {got}"
            else:
                field, text = "", f"expected an object, got {shown(row)}"
            self._table.execute("INSERT INTO faults VALUES (?, ?, ?)", (place, field, text))

    def _close(self) -> None:
        self._table.close()
        self._folder.cleanup()

    def __enter__(self) -> Grouped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
