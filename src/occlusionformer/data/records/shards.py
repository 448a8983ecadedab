"""Shards: a Parquet file of records, and beside it a WebDataset tar with their pictures.

The Parquet file appears last and names size and hash of its tar, so that a tar alone is no shard and the two of a
shard always belong together. Equal records and pictures make equal files, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from occlusionformer.data.json_files import parse_json
from occlusionformer.data.records.columns import from_table, schema, to_table
from occlusionformer.data.records.nulls import has_holes, null_problems
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Record
from occlusionformer.data.records.spelling import column_problems, conformed, is_own, leaves
from occlusionformer.data.records.staging import Staged
from occlusionformer.layout.atomic import flush_folder
from occlusionformer.layout.problems import MOST_PROBLEMS, Problem, shown
from occlusionformer.pictures import LIMITS, PictureError

FORMAT_KEY = b"occlusionformer.records"
"""Where the Parquet metadata says what the file is."""
VERSION = 1

RECORDS_PER_GROUP = 128
"""Random access reads a whole row group; smaller ones compress worse."""
COMPRESSION, COMPRESSION_LEVEL = "zstd", 1
"""Run-length text shrinks by a third; higher levels take three times as long for two per cent more."""

SHARD_NAME = re.compile(r"(?P<split>[A-Za-z0-9_]+)-(?P<number>\d{5,})\.parquet")

IMAGE_KINDS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"RIFF": "webp",
}
"""Name endings by the first bytes of a file."""

Item = tuple[Record, bytes | None]
"""A record, and its picture as an encoded file."""


@dataclass(frozen=True)
class Tar:
    """What a shard's metadata say of its tar; None if another program rewrote the shard."""

    size: int | None
    sha256: str | None


def shard_path(folder: Path, split: str, number: int) -> Path:
    """Path of a shard of a data set; its tar has the same name with another suffix."""
    return folder / "data" / f"{split}-{number:05d}.parquet"


def image_name(image_id: str, image: bytes) -> str:
    """The name of a picture in a tar. WebDataset takes it up to the first dot as the key of the sample."""
    for start, ending in IMAGE_KINDS.items():
        if image.startswith(start):
            return f"{quote(image_id, safe='').replace('.', '%2E')}.{ending}"
    raise ValueError(f"image {image_id!r}: expected a PNG, JPEG or WebP file, got one that starts with {image[:8]!r}")


class ShardWriter:
    """Writes one shard, instead of one that is there, when its block ends; leaves nothing behind when it fails.

    Pictures are written as they come, and only the records of a row group are held. A record's `image_file` and
    `image_sha256` are set to what is written. The folder must exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.num_records = 0
        self.image_bytes = 0
        self._waiting: list[Record] = []
        self._tables: list[Any] = []
        self._table_file = Staged(self.path)
        try:
            self._tar_file = Staged(self.path.with_suffix(".tar"))
        except OSError:
            self._table_file.discard()
            raise
        self._archive = tarfile.open(fileobj=self._tar_file, mode="w|", format=tarfile.PAX_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115

    def add(self, record: Record, image: bytes | None = None) -> None:
        """Write the next record."""
        if image is not None:
            record = self._with_image(record, image)
        elif record.image_file is not None:
            record = replace(record, image_file=None, image_sha256=None)
        self._waiting.append(record)
        self.num_records += 1
        if len(self._waiting) == RECORDS_PER_GROUP:
            self._to_columns()

    def publish(self) -> None:
        """Put the shard in its place."""
        self._archive.close()
        self._to_columns()
        tar = Tar(self._tar_file.size, self._tar_file.sha256) if self.image_bytes else None
        self._table_file.write(_parquet(self._tables, tar))
        self._table_file.seal()
        self._tar_file.seal()
        self.path.unlink(missing_ok=True)
        if tar is not None:
            self._tar_file.publish()
        else:
            self._tar_file.target.unlink(missing_ok=True)
        self._table_file.publish()

    def discard(self) -> None:
        """Leave nothing behind; does nothing once published."""
        with contextlib.suppress(OSError):
            self._archive.close()
        self._table_file.discard()
        self._tar_file.discard()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self.discard()

    def _with_image(self, record: Record, image: bytes) -> Record:
        member = tarfile.TarInfo(image_name(record.image_id, image))
        member.size = len(image)
        member.mode = 0o644
        self._archive.addfile(member, io.BytesIO(image))
        self.image_bytes += len(image)
        return replace(record, image_file=member.name, image_sha256=hashlib.sha256(image).hexdigest())

    def _to_columns(self) -> None:
        """Convert pending records to columns, which take a tenth of the memory."""
        if self._waiting or not self._tables:
            self._tables.append(to_table(self._waiting))
            self._waiting = []


def write_shard(path: str | Path, items: Iterable[Item]) -> int:
    """Write a shard with these records, as `ShardWriter` does; gives their number."""
    with ShardWriter(path) as writer:
        for record, image in items:
            writer.add(record, image)
    return writer.num_records


def remove_shard(path: str | Path) -> None:
    """Remove a shard, its tar last."""
    target = Path(path)
    target.unlink(missing_ok=True)
    target.with_suffix(".tar").unlink(missing_ok=True)
    flush_folder(target.parent)


def _parquet(tables: Sequence[Any], tar: Tar | None) -> memoryview:
    arrow, parquet = from_extra("pyarrow"), from_extra("pyarrow.parquet")
    facts = {"version": VERSION, "tar": None if tar is None else {"size": tar.size, "sha256": tar.sha256}}
    metadata = {FORMAT_KEY: json.dumps(facts, sort_keys=True).encode()}
    stream = arrow.BufferOutputStream()
    parquet.write_table(
        arrow.concat_tables(tables).replace_schema_metadata(metadata),
        stream,
        row_group_size=RECORDS_PER_GROUP,
        compression=COMPRESSION,
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=False,
        write_statistics=False,
    )
    return memoryview(stream.getvalue())


class RecordShard:
    """Reads a shard. No file stays open between calls; can be pickled for worker processes."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        named = SHARD_NAME.fullmatch(self.path.name)
        self.split = named["split"] if named else "train"
        self.tar_path = self.path.with_suffix(".tar")
        self._last_group: tuple[int, Any] | None = None

    def __reduce__(self) -> tuple[type[RecordShard], tuple[Path]]:
        return RecordShard, (self.path,)

    def __len__(self) -> int:
        return int(self.metadata.num_rows)

    @cached_property
    def metadata(self) -> Any:
        """Metadata of the Parquet file. Raises ValueError if it is no Parquet file."""
        arrow, parquet = from_extra("pyarrow"), from_extra("pyarrow.parquet")
        try:
            return parquet.read_metadata(self.path)
        except arrow.ArrowInvalid as error:
            raise ValueError(f"{self.path}: expected a Parquet file: {error}") from None

    @property
    def num_groups(self) -> int:
        """Number of row groups, the unit of reading."""
        return int(self.metadata.num_row_groups)

    @cached_property
    def tar(self) -> Tar | None:
        """The shard's description of its tar; None without pictures. Raises ValueError for another kind of file."""
        text = (self.metadata.metadata or {}).get(FORMAT_KEY)
        if text is None:
            return Tar(None, None) if self.tar_path.exists() else None
        facts = self._facts(text)
        if facts.get("version") != VERSION:
            raise ValueError(f"{self.path}: expected a shard of records, version {VERSION}, got {shown(facts)}")
        tar = facts.get("tar")
        if tar is None:
            return None
        if not isinstance(tar, dict) or type(tar.get("size")) is not int or type(tar.get("sha256")) is not str:
            raise ValueError(f"{self.path}: expected size and sha256 of the tar, got {shown(tar)}")
        return Tar(tar["size"], tar["sha256"])

    def _facts(self, text: bytes) -> dict[str, Any]:
        found = parse_json(text, f"{self.path}: {FORMAT_KEY.decode()}")
        if not isinstance(found, dict):
            raise ValueError(f"{self.path}: expected a shard of records, version {VERSION}, got {shown(found)}")
        return found

    @cached_property
    def column_problems(self) -> list[Problem]:
        """Columns that are missing or cannot hold what records do; those that users added are no problem."""
        return column_problems(self.arrow_schema)

    @cached_property
    def arrow_schema(self) -> Any:
        """The Arrow schema of the file."""
        return self.metadata.schema.to_arrow_schema()

    def columns(self, names: Sequence[str]) -> Any:
        """Some columns of all rows, as an Arrow table: `instances.id` for a field of the elements alone.

        They may come with more than was asked for. Raises ValueError that names all columns that are missing.
        """
        self._check_columns()
        with self._opened() as file:
            if not is_own(self.arrow_schema):
                whole = list(dict.fromkeys(name.partition(".")[0] for name in names))
                return self._without_holes(self._conformed(file.read(columns=whole, use_threads=False)))
            places = [path for name in names for path in self._places(name)]
            return self._without_holes(file.read(columns=places, use_threads=False))

    def group(self, number: int) -> Any:
        """A row group, as an Arrow table of the columns of records."""
        self._check_columns()
        with self._opened() as file:
            return self._conformed(file.read_row_group(number, columns=schema().names, use_threads=False))

    def _check_columns(self) -> None:
        if self.column_problems:
            raise ValueError("\n".join(f"{self.path}: {problem}" for problem in self.column_problems))

    def _conformed(self, table: Any) -> Any:
        try:
            return conformed(table)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def _without_holes(self, table: Any) -> Any:
        if has_holes(table):
            raise ValueError(f"{self.path}: expected a value, got null; `data validate` names the record")
        return table

    def _check_holes(self, table: Any, first_row: int) -> None:
        """Raises ValueError with what is missing in which record of a row group."""
        if not has_holes(table):
            return
        problems = [
            f"{self.path}: record {row} ({shown(value['image_id'])}): {problem}"
            for row, value in enumerate(table.to_pylist(), first_row)
            for problem in null_problems(value)
        ]
        if problems:
            raise ValueError("\n".join(problems[:MOST_PROBLEMS]))

    def _places(self, name: str) -> list[str]:
        """Paths of a column in the Parquet file, which writers name in their own ways."""
        found = (place for logical, place in self._paths if logical == name or logical.startswith(f"{name}."))
        return list(found)

    @cached_property
    def _paths(self) -> list[tuple[str, str]]:
        logical = [leaf for field in self.arrow_schema for leaf in leaves(field.type, field.name)]
        physical = [self.metadata.schema.column(place).path for place in range(len(self.metadata.schema))]
        return list(zip(logical, physical, strict=True))

    def records(self) -> Iterator[Record]:
        """Iterate over all records in order; one row group is in memory at a time."""
        row = 0
        for number in range(self.num_groups):
            table = self.group(number)
            self._check_holes(table, row)
            yield from from_table(table)
            row += len(table)

    def record(self, place: int) -> Record:
        """One record by its index. The row group read last is cached."""
        if not 0 <= place < len(self):
            raise IndexError(f"{self.path}: expected record 0 to {len(self) - 1}, got {place}")
        number, row = self._find(place)
        if self._last_group is None or self._last_group[0] != number:
            table = self.group(number)
            self._check_holes(table, place - row)
            self._last_group = (number, table)
        return from_table(self._last_group[1].slice(row, 1))[0]

    def image(self, record: Record) -> bytes | None:
        """The picture of one of its records as an encoded file; None when the shard holds none."""
        if record.image_file is None:
            return None
        try:
            offset, size = self.members[record.image_file]
        except KeyError:
            raise ValueError(f"{self.tar_path}: no picture {record.image_file!r}") from None
        if size > LIMITS.bytes:
            text = f"expected a file of at most {LIMITS.bytes:,} bytes, got {size:,}"
            raise PictureError(f"{self.tar_path}: {record.image_file}", text)
        with self.tar_path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def items(self) -> Iterator[Item]:
        """Iterate over records with their pictures."""
        return ((record, self.image(record)) for record in self.records())

    @cached_property
    def members(self) -> dict[str, tuple[int, int]]:
        """Offset and size of every picture in the tar. Raises ValueError if it is no tar."""
        try:
            with tarfile.open(self.tar_path, mode="r:") as archive:
                return {member.name: (member.offset_data, member.size) for member in archive}
        except FileNotFoundError:
            raise ValueError(f"{self.tar_path}: expected the tar of this shard, got none") from None
        except tarfile.TarError as error:
            raise ValueError(f"{self.tar_path}: expected a tar: {error}") from None

    def _opened(self) -> Any:
        return from_extra("pyarrow.parquet").ParquetFile(self.path, metadata=self.metadata)

    def _find(self, place: int) -> tuple[int, int]:
        """Row group of a record, and its row there."""
        for number in range(self.num_groups):
            rows = self.metadata.row_group(number).num_rows
            if place < rows:
                return number, place
            place -= rows
        raise AssertionError("a place inside the shard")
