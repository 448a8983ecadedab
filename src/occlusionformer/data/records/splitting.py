"""Assigns pictures to splits by their id alone, so that a growing data set moves none."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from occlusionformer.data.records.card import write_descriptions
from occlusionformer.data.records.checking import check_record
from occlusionformer.data.records.folder import RECORDS_PER_SHARD, RecordFolder, RecordWriter
from occlusionformer.data.records.record import Record, as_fractions
from occlusionformer.layout import Box, overlap, write_atomic
from occlusionformer.layout.new_folder import new_folder
from occlusionformer.layout.problems import MOST_PROBLEMS, shown

SPLIT_FILE = "splits.json"
LEAST_INSTANCES, LEAST_EDGES = 3, 2
"""What a picture must have to be chosen as a hard one."""


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """Shares of the pictures by split; they add up to 1. `hardest` pictures go to the split `hard` before."""

    shares: Mapping[str, float]
    seed: int = 0
    hardest: int = 0
    """Those whose boxes overlap most: by the OverLayBench score, with all captions taken to be alike."""

    def __post_init__(self) -> None:
        problems = [
            f"shares[{name!r}]: expected 0 to 1, got {share:g}"
            for name, share in self.shares.items()
            if not 0 < share <= 1
        ]
        problems += [
            f"shares: expected names of letters, digits and underscores, got {name!r}"
            for name in self.shares
            if not name.replace("_", "a").isalnum() or not name.isascii() or name == "hard"
        ]
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            problems.append(f"shares: expected a sum of 1, got {sum(self.shares.values()):g}")
        if self.hardest < 0:
            problems.append(f"hardest: expected at least 0, got {self.hardest}")
        if problems:
            raise ValueError("\n".join(problems))

    def split_of(self, image_id: str) -> str:
        """The split of a picture, by a hash of its id and the seed."""
        digest = hashlib.sha256(f"{self.seed}:{image_id}".encode()).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64
        for name, share in self.shares.items():
            position -= share
            if position < 0:
                return name
        return name


def split_data_set(source: str | Path, target: str | Path, splitting: Splitting) -> dict[str, int]:
    """Copy a data set into splits of its own, with a file of the ids in each; gives their sizes."""
    records = RecordFolder(source)
    if not len(records):
        raise ValueError(f"{source}: expected at least one record, got none")
    hard = _hardest(records, splitting.hardest)
    ids: dict[str, list[str]] = {}
    with new_folder(Path(target)) as folder:
        with ExitStack() as writers:
            opened: dict[str, RecordWriter] = {}
            for record, image in records.items():
                _check(record, source)
                split = "hard" if record.image_id in hard else splitting.split_of(record.image_id)
                if split not in opened:
                    writer = RecordWriter(folder, split, records_per_shard=RECORDS_PER_SHARD)
                    opened[split] = writers.enter_context(writer)
                opened[split].add(record, image)
                ids.setdefault(split, []).append(record.image_id)
        write_atomic(folder / SPLIT_FILE, json.dumps(ids, indent=1, sort_keys=True) + "\n")
        write_descriptions(folder)
    return {split: len(found) for split, found in sorted(ids.items())}


def _check(record: Record, source: str | Path) -> None:
    """Raises ValueError for a record that the copy would be refused for."""
    if problems := check_record(record):
        lines = (f"{source}: record {shown(record.image_id)}: {problem}" for problem in problems[:MOST_PROBLEMS])
        raise ValueError("\n".join(lines))


def difficulty(record: Record) -> float:
    """Sum over all pairs of boxes of intersection over union."""
    boxes = [instance.amodal_box or instance.visible_box for instance in record.instances]
    inside = [as_fractions(box, record.width, record.height) for box in boxes if box is not None]
    return overlap([Box(*box) for box in inside]).total_iou


def _hardest(records: RecordFolder, count: int) -> frozenset[str]:
    """Ids of the hardest pictures; ties go to the lower id. Raises ValueError if there are too few pictures."""
    if not count:
        return frozenset()
    chosen = heapq.nsmallest(count, _ranked(records))
    if len(chosen) < count:
        needs = f"at least {LEAST_INSTANCES} instances and {LEAST_EDGES} relations"
        raise ValueError(f"hardest: expected at most the {len(chosen)} pictures with {needs}, got {count}")
    return frozenset(image_id for _, image_id in chosen)


def _ranked(records: RecordFolder) -> Iterator[tuple[float, str]]:
    for record in records:
        if len(record.instances) >= LEAST_INSTANCES and len(record.edges) >= LEAST_EDGES:
            yield -difficulty(record), record.image_id
