"""Making a data set: records from anywhere into a folder that appears when it is whole."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from occlusionformer.data.records.card import write_descriptions
from occlusionformer.data.records.folder import RECORDS_PER_SHARD, RecordWriter
from occlusionformer.data.records.record import Record
from occlusionformer.data.records.shards import Item
from occlusionformer.data.records.source import picture_path
from occlusionformer.data.records.staging import flush_folder
from occlusionformer.layout import write_atomic

Coming = Item | Record | ValueError
"""A record with or without its picture; an error in place of one that could not be read."""

REJECTED = "rejected.jsonl"
"""One line for each record that was passed over, with the reasons."""


@dataclass(frozen=True)
class Making:
    """What was made of the records that came."""

    records: int
    shards: int
    rejected: int


@dataclass(frozen=True)
class DataSetMaker:
    """Makes one data set. `image_root` is a folder to look for pictures in, by the `image_path` of records.

    A record that cannot be taken stops everything and leaves nothing behind, unless `skip_bad`.
    """

    target: Path
    split: str = "train"
    image_root: Path | None = None
    skip_bad: bool = False
    records_per_shard: int = RECORDS_PER_SHARD

    def make(self, items: Iterable[Coming]) -> Making:
        """Raises ValueError when nothing comes, or something bad that is not to be skipped."""
        rejected: list[bytes] = []
        with new_folder(self.target) as folder:
            with RecordWriter(folder, self.split, records_per_shard=self.records_per_shard) as writer:
                for item in items:
                    self._add(item, writer, rejected)
            if not writer.num_records:
                raise ValueError(f"{self.target}: expected at least one record, got none")
            if rejected:
                write_atomic(folder / REJECTED, b"".join(rejected))
            write_descriptions(folder)
        return Making(writer.num_records, writer.num_shards, len(rejected))

    def _add(self, item: Coming, writer: RecordWriter, rejected: list[bytes]) -> None:
        try:
            if isinstance(item, ValueError):
                raise item
            record, image = (item, None) if isinstance(item, Record) else item
            if image is None and self.image_root is not None:
                image = picture_path(record, self.image_root).read_bytes()
            writer.add(record, image)
        except ValueError as error:
            if not self.skip_bad:
                raise
            reasons = getattr(error, "problems", None) or str(error).splitlines()
            rejected.append(json.dumps({"problems": list(reasons)}, ensure_ascii=False).encode() + b"\n")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder that becomes `target` when the block ends, and vanishes when it fails.

    Raises ValueError when there is something at `target` already.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target}: expected a new or empty folder, got one with files")
    final = Path(os.path.abspath(target))
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name[:100]}.{secrets.token_hex(8)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, final)
        flush_folder(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def bare_items(items: Iterable[Coming]) -> Iterator[Coming]:
    """The same with nothing known but pictures, visible masks and their boxes: what `data build` starts from."""
    for item in items:
        if isinstance(item, Record):
            yield bare(item)
        else:
            yield item if isinstance(item, ValueError) else (bare(item[0]), item[1])


def bare(record: Record) -> Record:
    """Without words, order, depth and hidden parts."""
    return replace(
        record,
        prompt="",
        order=None,
        order_confidence=None,
        depth=None,
        depth_confidence=None,
        instances=tuple(
            replace(instance, caption="", category=None, amodal_box=None, amodal_mask=None, extra="{}")
            for instance in record.instances
        ),
        extra="{}",
    )
