"""Validates a data set on disk: every violation with its file, record and field."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlusionformer.data.json_files import read_json
from occlusionformer.data.records.checking import check_record
from occlusionformer.data.records.folder import shard_files
from occlusionformer.data.records.nulls import null_problems
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Record, from_plain
from occlusionformer.data.records.shards import SHARD_NAME, RecordShard, image_name
from occlusionformer.data.records.source import decode_image
from occlusionformer.layout.problems import Problem, shown

STATISTICS = "statistics.json"
TAR_NAME = re.compile(SHARD_NAME.pattern.replace("parquet", "tar"))
CHUNK = 2**20
NOT_OURS = ("._", ".DS_Store")
"""What macOS leaves beside files."""


@dataclass(frozen=True)
class Violation:
    """A violation and its place."""

    file: str
    """Its path in the data set."""
    record: tuple[int, str] | None
    """Row and image id, for what is wrong with a record."""
    problem: Problem

    def __str__(self) -> str:
        where = self.file if self.record is None else f"{self.file}: record {self.record[0]} ({shown(self.record[1])})"
        return f"{where}: {self.problem}"


@dataclass(frozen=True)
class FolderCheck:
    """Settings of a validation, and the validation itself."""

    folder: Path
    require: frozenset[str] = frozenset({"captions"})
    look_at_images: bool = True
    """Decode every picture and hash every tar; without, only what is said about them is checked."""
    seen: dict[str, tuple[str, int]] = field(default_factory=dict, repr=False)
    """File and row where each image id was met first."""

    def violations(self) -> Iterator[Violation]:
        """All violations, shard by shard; none for a valid data set."""
        files = shard_files(self.folder)
        if not files:
            yield self._at(self.folder / "data", "expected files SPLIT-NUMBER.parquet, got none")
        yield from self._strangers()
        yield from self._gaps(files)
        num_records: int | None = 0
        for path in files:
            shard = RecordShard(path)
            found = list(self._columns(shard))
            yield from found
            if found:
                num_records = None
                continue
            yield from self._tar(shard)
            yield from self._records(shard)
            num_records = None if num_records is None else num_records + len(shard)
        yield from self._statistics(num_records)

    def _at(self, path: Path, text: str, *fields: str | int) -> Violation:
        return Violation(path.relative_to(self.folder).as_posix(), None, Problem(fields, text))

    def _strangers(self) -> Iterator[Violation]:
        """Files that belong to no shard: left-overs, and shards under a wrong name."""
        for path in sorted((self.folder / "data").glob("*")):
            if path.name.startswith(NOT_OURS):
                continue
            if not path.is_file():
                yield self._at(path, "expected a file, got a folder or something else")
            elif TAR_NAME.fullmatch(path.name):
                if not path.with_suffix(".parquet").exists():
                    yield self._at(path, "expected the Parquet file of this shard beside it, got none")
            elif not SHARD_NAME.fullmatch(path.name):
                yield self._at(path, "expected a name like train-00000.parquet or train-00000.tar")

    def _gaps(self, files: Iterable[Path]) -> Iterator[Violation]:
        """Shards of a split are numbered from 0."""
        numbers: dict[str, set[int]] = {}
        for path in files:
            if named := SHARD_NAME.fullmatch(path.name):
                numbers.setdefault(named["split"], set()).add(int(named["number"]))
        for split, found in numbers.items():
            for number in sorted(set(range(max(found))) - found):
                path = self.folder / "data" / f"{split}-{number:05d}.parquet"
                yield self._at(path, f"expected this shard before {split}-{max(found):05d}.parquet, got none")

    def _columns(self, shard: RecordShard) -> Iterator[Violation]:
        """Columns that users added are passed over here as they are in reading."""
        try:
            problems = shard.column_problems
            _ = shard.tar
        except (ValueError, OSError) as error:
            yield self._at(shard.path, str(error).removeprefix(f"{shard.path}: "))
            return
        for problem in problems:
            yield self._at(shard.path, problem.text, *problem.path)

    def _tar(self, shard: RecordShard) -> Iterator[Violation]:
        if shard.tar is None:
            if shard.tar_path.exists():
                yield self._at(shard.tar_path, "expected no tar beside a shard without pictures")
            return
        if not shard.tar_path.exists():
            yield self._at(shard.tar_path, "expected the tar of this shard, got none")
            return
        size = shard.tar_path.stat().st_size
        if shard.tar.size not in (None, size):
            yield self._at(shard.tar_path, f"expected {shard.tar.size} bytes, got {size}")
        elif self.look_at_images and shard.tar.sha256 not in (None, _sha256_of(shard.tar_path)):
            yield self._at(shard.tar_path, f"expected contents with the SHA-256 {shard.tar.sha256}, got others")
        try:
            members = set(shard.members)
        except ValueError as error:
            yield self._at(shard.tar_path, str(error).removeprefix(f"{shard.tar_path}: "))
            return
        named = set(shard.columns(["image_file"])["image_file"].to_pylist())
        for name in sorted(members - named):
            yield self._at(shard.tar_path, "expected only pictures that a record names", name)

    def _records(self, shard: RecordShard) -> Iterator[Violation]:
        row = 0
        file = shard.path.relative_to(self.folder).as_posix()
        for group in range(shard.num_groups):
            try:
                values = shard.group(group).to_pylist()
            except (OSError, ValueError) as error:
                text = str(error).removeprefix(f"{shard.path}: ")
                yield self._at(shard.path, f"expected readable records in row group {group}: {text}")
                row += shard.metadata.row_group(group).num_rows
                continue
            for value in values:
                for problem in self._record_problems(value, shard, (file, row)):
                    yield Violation(file, (row, value["image_id"] or ""), problem)
                row += 1

    def _record_problems(self, value: dict[str, Any], shard: RecordShard, place: tuple[str, int]) -> list[Problem]:
        if nulls := null_problems(value):
            return nulls
        record = from_plain(value)
        problems = check_record(record, require=self.require)
        first = self.seen.setdefault(record.image_id, place)
        if first != place:
            text = f"expected an id of its own, got that of {first[0]}: record {first[1]} again"
            problems.append(Problem(("image_id",), text))
        return problems + _image_problems(record, shard, look=self.look_at_images)

    def _statistics(self, num_records: int | None) -> Iterator[Violation]:
        """Beside the records found; None when not all shards could be read."""
        path = self.folder / STATISTICS
        if not path.exists():
            return
        try:
            counted = read_json(path)
        except ValueError as error:
            yield self._at(path, f"expected statistics: {str(error).removeprefix(f'{STATISTICS}: ')}")
            return
        if not isinstance(counted, dict) or "records" not in counted:
            yield self._at(path, f"expected statistics, got {shown(counted)}")
            return
        counted = counted["records"]
        if num_records is not None and counted != num_records:
            yield self._at(path, f"expected {num_records}, got {shown(counted)}", "records")


def usual_requirements(folder: str | Path) -> tuple[str, ...]:
    """Default requirements of a data set: captions, if any instance has one.

    Without any it is what `data convert --bare` makes.
    """
    compute = from_extra("pyarrow.compute")
    for path in shard_files(Path(folder)):
        try:
            captions = RecordShard(path).columns(["instances.caption"])["instances"].combine_chunks()
            lengths = compute.utf8_length(compute.list_flatten(captions).field("caption"))
        except (ValueError, OSError, KeyError):
            return ("captions",)
        if compute.max(lengths).as_py():
            return ("captions",)
    return ()


def check_folder(
    folder: str | Path, *, require: Iterable[str] = ("captions",), look_at_images: bool = True
) -> Iterator[Violation]:
    """Every violation in a data set, as they are found; `require` is what `check_record` takes."""
    return FolderCheck(Path(folder), frozenset(require), look_at_images).violations()


def _image_problems(record: Record, shard: RecordShard, *, look: bool) -> list[Problem]:
    if record.image_file is None:
        return []
    if shard.tar is None:
        return [Problem(("image_file",), f"expected null in a shard without tar, got {shown(record.image_file)}")]
    try:
        image = shard.image(record)
    except (ValueError, OSError):
        return [Problem(("image_file",), f"expected a picture in the tar, got {shown(record.image_file)}")]
    assert image is not None
    if not look:
        return []
    problems = []
    if record.image_sha256 is not None and hashlib.sha256(image).hexdigest() != record.image_sha256:
        text = (
            f"expected the hash of the picture, {hashlib.sha256(image).hexdigest()}, got {shown(record.image_sha256)}"
        )
        problems.append(Problem(("image_sha256",), text))
    try:
        expected = image_name(record.image_id, image)
        if record.image_file != expected:
            problems.append(Problem(("image_file",), f"expected {expected!r}, got {shown(record.image_file)}"))
        decode_image(record, image)
    except ValueError as error:
        problems.append(Problem(("image_file",), str(error).removeprefix(f"{record.image_id}: image: ")))
    return problems


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()
