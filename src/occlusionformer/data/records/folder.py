"""A data set on disk: a folder with shards of every split, a schema, statistics and a card."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from types import TracebackType

from occlusionformer.data.records.record import Record
from occlusionformer.data.records.shards import SHARD_NAME, Item, RecordShard, ShardWriter, shard_path

RECORDS_PER_SHARD = 1000
IMAGE_BYTES_PER_SHARD = 512 * 2**20
"""A shard ends with whichever comes first."""

OPEN_SHARDS = 16
"""Shards of which random access keeps a row group and the places of pictures: about a megabyte each."""


class RecordFolder:
    """Reads a data set in the order of its shards. Can be pickled for worker processes.

    Raises ValueError for a folder without shards, or without the split that is asked for.
    """

    def __init__(self, folder: str | Path, split: str | None = None) -> None:
        self.folder = Path(folder)
        found = shard_files(self.folder)
        self.splits = tuple(dict.fromkeys(RecordShard(path).split for path in found))
        if not found:
            raise ValueError(f"{self.folder}: expected a folder with data/SPLIT-NUMBER.parquet, got none of these")
        if split is not None and split not in self.splits:
            raise ValueError(f"{self.folder}: expected a split out of {', '.join(self.splits)}, got {split!r}")
        self.split = split
        # What a shard has read it keeps, so that those here are copied before a pass through all of them.
        self.shards = tuple(shard for shard in map(RecordShard, found) if split in (None, shard.split))
        self._opened: OrderedDict[int, RecordShard] = OrderedDict()

    def __reduce__(self) -> tuple[type[RecordFolder], tuple[Path, str | None]]:
        return RecordFolder, (self.folder, self.split)

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[Record]:
        for shard in self.shards:
            yield from RecordShard(shard.path).records()

    def __getitem__(self, index: int) -> Record:
        shard, place = self.find(index)
        return shard.record(place)

    def items(self) -> Iterator[Item]:
        """Iterate over records with their pictures."""
        for shard in self.shards:
            yield from RecordShard(shard.path).items()

    def item(self, index: int) -> Item:
        """One record with its picture."""
        shard, place = self.find(index)
        record = shard.record(place)
        return record, shard.image(record)

    def find(self, index: int) -> tuple[RecordShard, int]:
        """The shard of a record, and its index in that shard."""
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, got {index}")
        number = bisect.bisect_right(self._ends, index)
        return self._open(number), index - (self._ends[number - 1] if number else 0)

    def _open(self, number: int) -> RecordShard:
        """Open a shard; a few most recently used ones stay open, each with the row group read last."""
        shard = self._opened.pop(number) if number in self._opened else RecordShard(self.shards[number].path)
        self._opened[number] = shard
        if len(self._opened) > OPEN_SHARDS:
            self._opened.popitem(last=False)
        return shard

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(RecordShard(shard.path)) for shard in self.shards))


def shard_files(folder: Path) -> list[Path]:
    """The Parquet files of all shards, splits in alphabetical order."""
    found = (folder / "data").glob("*.parquet")
    return sorted(path for path in found if SHARD_NAME.fullmatch(path.name) and path.is_file())


class RecordWriter:
    """Writes records of one split into shards, one after another. The last one is finished on leaving the block.

    Refuses an image id that it has written already. When the block fails, the shard at hand leaves nothing behind.
    """

    def __init__(self, folder: str | Path, split: str = "train", *, records_per_shard: int = RECORDS_PER_SHARD) -> None:
        self.folder = Path(folder)
        self.split = split
        self.records_per_shard = records_per_shard
        self.num_records = 0
        self.num_shards = 0
        self._ids: set[str] = set()
        self._shard: ShardWriter | None = None
        shard_path(self.folder, split, 0).parent.mkdir(parents=True, exist_ok=True)

    def add(self, record: Record, image: bytes | None = None) -> None:
        """Write the next record."""
        if record.image_id in self._ids:
            raise ValueError(f"image_id: expected an id of its own, got {record.image_id!r} again")
        self._ids.add(record.image_id)
        if self._shard is None:
            self._shard = ShardWriter(shard_path(self.folder, self.split, self.num_shards))
        self._shard.add(record, image)
        if self._shard.num_records >= self.records_per_shard or self._shard.image_bytes >= IMAGE_BYTES_PER_SHARD:
            self.flush()

    def flush(self) -> None:
        """Finish the shard at hand."""
        if self._shard is not None:
            with self._shard:
                pass
            self.num_records += self._shard.num_records
            self.num_shards += 1
            self._shard = None

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        elif self._shard is not None:
            self._shard.discard()
