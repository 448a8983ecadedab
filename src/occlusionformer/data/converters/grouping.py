"""Rows of a large file by the picture they belong to: kept on disk, since files are not sorted by it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from occlusionformer.data.records.packages import from_extra


class Grouped:
    """Rows by a number, in a temporary file that goes away with the block. Rows of a number keep their order."""

    def __init__(self, rows: Iterable[tuple[int, Any]]) -> None:
        json = from_extra("orjson")
        self._loads = json.loads
        self._folder = tempfile.TemporaryDirectory(prefix="occlusionformer-")
        self._table = sqlite3.connect(Path(self._folder.name) / "rows.sqlite")
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute("CREATE TABLE rows (number INTEGER, value BLOB)")
        self._table.executemany("INSERT INTO rows VALUES (?, ?)", ((number, json.dumps(row)) for number, row in rows))
        self._table.execute("CREATE INDEX by_number ON rows (number)")

    def of(self, number: int) -> list[Any]:
        """The rows of a number; none for one that has none."""
        found = self._table.execute("SELECT value FROM rows WHERE number = ? ORDER BY rowid", (number,))
        return [self._loads(value) for (value,) in found]

    def __enter__(self) -> Grouped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        self._folder.cleanup()
