"""Small files in the forms of published benchmarks, written by the tests."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(shade: int, size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], *, group: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path, row_group_size=group)


def stored(shade: int) -> dict[str, Any]:
    """A picture as the data sets library keeps it."""
    return {"bytes": picture(shade), "path": f"{shade}.png"}
