"""Joins data sets of the same pictures by picture id.

SA-Z, SACap-1M and SA-1B name the same picture 223750, `sa_223750.jpg` or `images/sa_000020/sa_223750.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Record
from occlusionformer.pictures import is_picture_name

SA_NAME = re.compile(r"(?:.*/)?(?:sa_)?0*(?P<number>\d+)(?:\.\w+)?")
SACAP_COLUMNS = ("imagename", "image_group", "caption", "segments_info")

T = TypeVar("T")


def sa_number(name: str | int) -> str:
    """The number of a picture of SA-1B, however it is named. Raises ValueError for other names."""
    found = SA_NAME.fullmatch(str(name))
    if found is None:
        raise ValueError(f"expected the name of a picture like sa_223750.jpg, got {name!r}")
    return found["number"]


class Join(Generic[T]):
    """Records with what another data set has of the same picture, to be gone through once, in their order.

    The others are held in memory, the records are not. What found no partner is known at the end. Raises
    ValueError when two others have the same number.
    """

    def __init__(self, records: Iterable[Record], others: Iterable[tuple[str, T]]) -> None:
        self._records = records
        self._waiting: dict[str, tuple[str, T]] = {}
        for name, value in others:
            number = sa_number(name)
            if number in self._waiting:
                raise ValueError(f"expected every picture once, got {self._waiting[number][0]!r} and {name!r}")
            self._waiting[number] = (name, value)
        self.records_without: list[str] = []
        """Image ids of records nobody matched."""

    def __iter__(self) -> Iterator[tuple[Record, T]]:
        for record in self._records:
            partner = self._waiting.pop(sa_number(record.image_id), None)
            if partner is None:
                self.records_without.append(record.image_id)
            else:
                yield record, partner[1]

    @property
    def others_without(self) -> tuple[str, ...]:
        """Names in the other data set that matched no record."""
        return tuple(name for name, _ in self._waiting.values())


def sa_1b_pictures(folder: str | Path) -> Iterator[tuple[str, Path]]:
    """Names and paths of all pictures below a folder of unpacked SA-1B."""
    for path in sorted(Path(folder).rglob("*")):
        if is_picture_name(path) and path.stem.startswith("sa_"):
            yield path.name, path


def sacap_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and rows of the SACap-1M annotation file: image_group, caption, and captions by annotation id.

    Raises ValueError for a file without the columns of SACap-1M.
    """
    parquet = from_extra("pyarrow.parquet")
    table = parquet.ParquetFile(path)
    if missing := [name for name in SACAP_COLUMNS if name not in table.schema_arrow.names]:
        raise ValueError("\n".join(f"{path}: {name}: expected this column, got none" for name in missing))
    for batch in table.iter_batches(columns=list(SACAP_COLUMNS)):
        for row in batch.to_pylist():
            segments = {str(segment["anno_id"]): segment["caption"] for segment in row["segments_info"]}
            yield row["imagename"], {"group": row["image_group"], "caption": row["caption"], "segments": segments}


def with_sacap(record: Record, row: dict[str, Any]) -> tuple[Record, tuple[str, ...]]:
    """A record with the prompt and captions of SACap-1M, and the ids of its instances that have none there."""
    segments = row["segments"]
    instances = tuple(
        replace(instance, caption=segments.get(instance.id, instance.caption)) for instance in record.instances
    )
    unmatched = tuple(instance.id for instance in record.instances if instance.id not in segments)
    return replace(record, prompt=row["caption"], instances=instances), unmatched
