"""Shards of a build: their pictures, the files written for them, and whether they are done.

A build's folder holds a data set of records and, under `engine/`, how it was made::

    engine/plan.json             settings, revisions of the models, hash of both
    engine/receipts/NAME.json    one for every finished shard, written last: counts, hashes of its files
    engine/dead/NAME.jsonl       the pictures of a shard that are not in the data set, each with the reason
    engine/manifest.json         all of it, once nothing is missing
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from occlusionformer.data.engine.item import Item, digest
from occlusionformer.data.engine.plan import BuildPlan
from occlusionformer.data.engine.sources import Source, make_source, shard_of
from occlusionformer.data.json_files import JsonFileError, read_json
from occlusionformer.data.records import remove_shard, shard_path, write_shard
from occlusionformer.layout import write_atomic
from occlusionformer.layout.problems import MOST_PROBLEMS


class BrokenPicturesError(ValueError):
    """More pictures of a shard are broken than the plan allows; `problems` lists them."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)

    def __reduce__(self) -> tuple[type[BrokenPicturesError], tuple[list[str]]]:
        return BrokenPicturesError, (self.problems,)


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """A plan with its folder and the folder of its data. Can be pickled for worker processes."""

    plan: BuildPlan
    base: Path
    """Folder that the plan's paths start from."""
    out: Path
    hash: str
    """Of the plan with its models."""

    @cached_property
    def source(self) -> Source:
        return make_source(self.plan.source, self.base)

    @property
    def num_shards(self) -> int:
        return -(-len(self.source) // self.plan.shard_size)

    def indices(self, number: int) -> list[int]:
        """Pictures of a shard."""
        start = number * self.plan.shard_size
        return list(range(start, min(start + self.plan.shard_size, len(self.source))))

    def data(self, number: int) -> Path:
        return shard_path(self.out, self.plan.name, number)

    def receipt(self, number: int) -> Path:
        return self.out / "engine" / "receipts" / f"{self.data(number).stem}.json"

    def dead(self, number: int) -> Path:
        return self.out / "engine" / "dead" / f"{self.data(number).stem}.jsonl"

    def files(self, number: int) -> list[Path]:
        """All files of a shard except its receipt."""
        data = self.data(number)
        return [data, data.with_suffix(".tar"), self.dead(number)]

    def inputs(self, number: int) -> str:
        """A hash that changes when the pictures of a shard change."""
        return shard_of(np.array(self.indices(number)), self.source)

    def make_folders(self) -> None:
        for folder in (self.data(0).parent, self.receipt(0).parent, self.dead(0).parent):
            folder.mkdir(parents=True, exist_ok=True)


def is_done(job: ShardTask, number: int) -> bool:
    """Whether a shard's receipt is of this plan and these pictures, and its files are all there."""
    receipt = read_receipt(job, number)
    if receipt is None or receipt["plan"] != job.hash or receipt["inputs"] != job.inputs(number):
        return False
    sizes = {path: path.stat().st_size for path in job.files(number) if path.is_file()}
    return {str(path.relative_to(job.out)): size for path, size in sizes.items()} == {
        name: facts["size"] for name, facts in receipt["files"].items()
    }


def read_receipt(job: ShardTask, number: int) -> dict[str, Any] | None:
    """None where there is none, or a damaged one: the shard is then made again."""
    with contextlib.suppress(FileNotFoundError, JsonFileError):
        value = read_json(job.receipt(number))
        if isinstance(value, dict) and {"plan", "inputs", "files", "counts"} <= value.keys():
            return value
    return None


def write_done(job: ShardTask, number: int, items: Sequence[Item], *, inputs: str) -> dict[str, Any]:
    """Write a shard, its dead letters and at last its receipt, which is returned.

    Raises BrokenPicturesError where more pictures are broken than the plan allows.
    """
    broken = [
        f"{item.key}: {item.failure.stage}: {item.failure.reason}"
        for item in items
        if item.failure is not None and item.failure.kind == "broken"
    ]
    if len(broken) > job.plan.max_broken * job.plan.shard_size:
        text = f"shard {number}: {len(broken)} of {len(items)} pictures are broken, more than max_broken allows"
        raise BrokenPicturesError([text, *broken[:MOST_PROBLEMS]])
    job.receipt(number).unlink(missing_ok=True)
    write_shard(job.data(number), ((item.known(), item.file()) for item in items if item.failure is None))
    letters = [_letter(item) for item in items if item.failure is not None]
    if letters:
        write_atomic(job.dead(number), "".join(f"{json.dumps(letter, sort_keys=True)}\n" for letter in letters))
    else:
        job.dead(number).unlink(missing_ok=True)
    receipt = {
        "number": number,
        "plan": job.hash,
        "inputs": inputs,
        "counts": counts(items),
        "files": {
            str(path.relative_to(job.out)): {"size": path.stat().st_size, "sha256": digest(path.read_bytes())}
            for path in job.files(number)
            if path.is_file()
        },
    }
    write_atomic(job.receipt(number), json.dumps(receipt, sort_keys=True, indent=1))
    return receipt


def counts(items: Sequence[Item]) -> dict[str, int]:
    """Counts of a shard's pictures by outcome, and of its contents."""
    found: Counter[str] = Counter({"pictures": len(items)})
    for item in items:
        found.update(f"removed: {removal.reason}" for removal in item.removals)
        if item.failure is not None:
            found[item.failure.kind] += 1
            continue
        in_front = item.in_front()
        found["records"] += 1
        found["instances"] += len(in_front)
        found["relations"] += int(in_front.sum())
        found["occluded instances"] += int(in_front.any(axis=0).sum())
    return dict(sorted(found.items()))


def remove_from(job: ShardTask, first: int) -> None:
    """Remove shards from number `first` on, which the source no longer has."""
    number = first
    while job.receipt(number).exists() or job.data(number).exists():
        job.receipt(number).unlink(missing_ok=True)
        remove_shard(job.data(number))
        job.dead(number).unlink(missing_ok=True)
        number += 1


def write_manifest(job: ShardTask, receipts: Sequence[dict[str, Any]], steps: dict[str, str]) -> dict[str, Any]:
    """Write and return the manifest of the whole data set."""
    totals: Counter[str] = Counter()
    files: dict[str, str] = {}
    for receipt in receipts:
        totals.update(receipt["counts"])
        files |= {name: facts["sha256"] for name, facts in receipt["files"].items()}
    manifest = {
        "plan": job.plan.settings(),
        "models": steps,
        "hash": job.hash,
        "totals": dict(sorted(totals.items())),
        "shards": list(receipts),
        "data_set": digest(json.dumps(files, sort_keys=True)),
    }
    write_atomic(job.out / "engine" / "manifest.json", json.dumps(manifest, sort_keys=True, indent=1))
    return manifest


def _letter(item: Item) -> dict[str, Any]:
    assert item.failure is not None
    return {
        "image_id": item.key,
        "path": item.path,
        "kind": item.failure.kind,
        "stage": item.failure.stage,
        "reason": item.failure.reason,
    }
