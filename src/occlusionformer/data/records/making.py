"""Makes a data set: writes records to a folder that appears when it is complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from occlusionformer.data.records.card import write_descriptions
from occlusionformer.data.records.folder import RECORDS_PER_SHARD, RecordWriter
from occlusionformer.data.records.intake import Intake, RefusedRecordError
from occlusionformer.data.records.masks import is_hidden
from occlusionformer.data.records.record import Record, record_of_part
from occlusionformer.data.records.repairs import Repairs
from occlusionformer.data.records.shards import Item
from occlusionformer.data.records.source import picture_path
from occlusionformer.layout import write_atomic
from occlusionformer.layout.new_folder import new_folder
from occlusionformer.pictures import file_bytes

Coming = Item | Record | ValueError
"""A record with or without its picture; an error in place of one that could not be read."""

REJECTED = "rejected.jsonl"
"""One line for each record that was passed over, with the reasons."""

REPAIRED = "repaired.jsonl"
"""One line for each repair."""

MOST_TOLD = 100
"""Problems that are told before the rest of a source is left unread."""


@dataclass(frozen=True)
class Making:
    """Numbers of records, shards and skipped records of a new data set, and the repairs made."""

    records: int
    shards: int
    rejected: int
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSetMaker:
    """Makes one data set. `image_root` is a folder to look for pictures in, by the `image_path` of records.

    Every record is checked by the rules of `data validate` first; `require` is what it needs beyond them. One that
    cannot be taken stops everything and leaves nothing behind, unless `skip_bad`. With `repairs`, what can be put
    right is put right and told there; the same list goes to whoever reads the records.
    """

    target: Path
    split: str = "train"
    image_root: Path | None = None
    skip_bad: bool = False
    records_per_shard: int = RECORDS_PER_SHARD
    require: tuple[str, ...] = ("captions",)
    repairs: Repairs | None = None

    def make(self, items: Iterable[Coming]) -> Making:
        """Make the data set. Raises ValueError for no records, and for bad ones that are not to be skipped."""
        rejected: list[bytes] = []
        with new_folder(self.target) as folder:
            with RecordWriter(folder, self.split, records_per_shard=self.records_per_shard) as writer:
                self._write(items, writer, rejected)
            if not writer.num_records:
                raise ValueError(f"{self.target}: expected at least one record, got none{self._last(rejected)}")
            if rejected:
                write_atomic(folder / REJECTED, b"".join(rejected))
            made = () if self.repairs is None else tuple(self.repairs.made)
            if made:
                lines = (json.dumps({"repair": line}, ensure_ascii=False) for line in made)
                write_atomic(folder / REPAIRED, "\n".join(lines) + "\n")
            write_descriptions(folder)
        return Making(writer.num_records, writer.num_shards, len(rejected), made)

    def _write(self, items: Iterable[Coming], writer: RecordWriter, rejected: list[bytes]) -> None:
        """Write records; after the first refusal the rest are only checked, to report their problems as well."""
        refused: list[str] = []
        intake = Intake(self.require, self.repairs)
        for item in items:
            try:
                if isinstance(item, ValueError):
                    raise item
                record, image = (item, None) if isinstance(item, Record) else item
                if refused:
                    intake.admit(record)
                else:
                    self._add(record, image, writer, intake)
            except ValueError as error:
                reasons = _reasons(error)
                if self.repairs is not None:
                    self.repairs.forget()
                if self.skip_bad:
                    rejected.append(json.dumps({"problems": reasons}, ensure_ascii=False).encode() + b"\n")
                    continue
                refused += reasons
                if len(refused) >= MOST_TOLD:
                    break
        if refused:
            raise RefusedRecordError(refused[:MOST_TOLD])

    def _add(self, record: Record, image: bytes | None, writer: RecordWriter, intake: Intake) -> None:
        if image is None and self.image_root is not None:
            image = file_bytes(picture_path(record, self.image_root))
        writer.add(intake.admit(record, image), image)
        if self.repairs is not None:
            self.repairs.keep()

    def _last(self, rejected: list[bytes]) -> str:
        """The end of the error for a source of which every record was skipped: the last of them."""
        return (
            f"; the last of {len(rejected)} that were passed over: {rejected[-1].decode().strip()}" if rejected else ""
        )


def _reasons(error: ValueError) -> list[str]:
    reasons = list(getattr(error, "problems", None) or str(error).splitlines())
    more = len(reasons) - MOST_TOLD
    return reasons if more <= 0 else [*reasons[:MOST_TOLD], f"and {more} more of this record"]


def bare_items(items: Iterable[Coming]) -> Iterator[Coming]:
    """Items reduced to pictures, visible masks and visible boxes: the input of `data build`."""
    for item in items:
        if isinstance(item, Record):
            yield bare(item)
        else:
            yield item if isinstance(item, ValueError) else (bare(item[0]), item[1])


def bare(record: Record) -> Record:
    """A record without captions, order, depth and amodal parts; hidden instances are left out."""
    seen = [place for place, instance in enumerate(record.instances) if not is_hidden(instance)]
    return replace(
        record_of_part(record, seen),
        prompt="",
        order=None,
        order_confidence=None,
        depth=None,
        depth_confidence=None,
        instances=tuple(
            replace(instance, caption="", category=None, amodal_box=None, amodal_mask=None, extra="{}")
            for instance in record_of_part(record, seen).instances
        ),
        extra="{}",
    )
