"""Builds the data set of a plan: finds missing shards, has them made, writes the manifest at the end."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from occlusionformer.data.engine.item import digest
from occlusionformer.data.engine.models.registry import model_revision
from occlusionformer.data.engine.plan import BuildPlan, CleanPlan, FilterPlan
from occlusionformer.data.engine.shards import ShardTask, is_done, read_receipt, remove_from, write_manifest
from occlusionformer.data.json_files import read_json
from occlusionformer.layout import write_atomic
from occlusionformer.layout.problems import LayoutError


@dataclass
class Pace:
    """Progress of a build in pictures, and an estimate of the seconds left."""

    total: int
    """Pictures that this run has to do."""
    done: int = 0
    broken: int = 0
    filtered: int = 0
    _began: float = field(default_factory=time.monotonic)

    def add(self, counts: dict[str, int]) -> None:
        self.done += counts["pictures"]
        self.broken += counts.get("broken", 0)
        self.filtered += counts.get("filtered", 0)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.done else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None until the first shard is done."""
        return (self.total - self.done) / self.per_second if self.done else None


OnShard = Callable[[Pace], None]


class Executor(Protocol):
    """Interface: makes shards, in any place and order, and yields their receipts as they are done."""

    def run(self, job: ShardTask, numbers: Sequence[int]) -> Iterator[dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Build:
    """The outcome of a run."""

    manifest: dict[str, Any]
    pace: Pace
    skipped: int
    """Shards that were there already."""


def build(plan: BuildPlan, *, base: Path, out: Path, executor: Executor, on_shard: OnShard | None = None) -> Build:
    """Make the missing shards of a plan's data set.

    Raises LayoutError for a source without pictures, and if `out` holds another plan's data or is in use by another
    run. A run that fails before its first shard is done leaves nothing behind.
    """
    revisions = model_revisions(plan)
    job = ShardTask(plan=plan, base=base.absolute(), out=out.absolute(), hash=plan.hash(revisions))
    if not job.num_shards:
        raise LayoutError(["source: expected at least one picture, got none"])
    _check_claim(job)
    with _taken_back_when_nothing_is_done(job):
        return _built(job, revisions, executor, on_shard)


def _built(job: ShardTask, revisions: dict[str, str], executor: Executor, on_shard: OnShard | None) -> Build:
    job.make_folders()
    with _alone(job.out / "engine" / "lock"):
        _claim(job, revisions)
        _sweep(job)
        missing = [number for number in range(job.num_shards) if not is_done(job, number)]
        pace = Pace(total=sum(len(job.indices(number)) for number in missing))
        for receipt in executor.run(job, missing) if missing else ():
            pace.add(receipt["counts"])
            if on_shard is not None:
                on_shard(pace)
        remove_from(job, job.num_shards)
        receipts = [read_receipt(job, number) for number in range(job.num_shards)]
        lost = [number for number, receipt in enumerate(receipts) if receipt is None]
        if lost:
            raise RuntimeError(f"shards {lost[:10]} were reported done but are not there")
        manifest = write_manifest(job, [receipt for receipt in receipts if receipt is not None], revisions)
    return Build(manifest=manifest, pace=pace, skipped=job.num_shards - len(missing))


def model_revisions(plan: BuildPlan) -> dict[str, str]:
    """Revision of every model that the plan names."""
    names = sorted({stage.model for stage in plan.stages if not isinstance(stage, CleanPlan | FilterPlan)})
    return {name: model_revision(name) for name in names}


def _claim(job: ShardTask, revisions: dict[str, str]) -> None:
    """Record in the folder which plan it belongs to; refuse it if it belongs to another."""
    path = job.out / "engine" / "plan.json"
    if path.exists():
        _check_claim(job)
    else:
        value = {"plan": job.plan.settings(), "models": revisions, "hash": job.hash}
        write_atomic(path, json.dumps(value, sort_keys=True, indent=1))


def _check_claim(job: ShardTask) -> None:
    """Raise LayoutError if the folder belongs to another plan, or its plan.json is damaged."""
    path = job.out / "engine" / "plan.json"
    if not path.exists():
        return
    held = read_json(path)
    if not isinstance(held, dict) or not isinstance(held.get("hash"), str):
        raise LayoutError([f"out: expected a new folder or one of this plan, got one with a damaged {str(path)!r}"])
    if held["hash"] != job.hash:
        what = "other models" if held.get("plan") == job.plan.settings() else "another plan"
        raise LayoutError([f"out: expected a new folder or one of this plan, got {str(job.out)!r}, made by {what}"])


def _sweep(job: ShardTask) -> None:
    """Remove half-written files of a killed run."""
    for folder in (job.data(0).parent, job.receipt(0).parent, job.dead(0).parent, job.out / "engine"):
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _taken_back_when_nothing_is_done(job: ShardTask) -> Iterator[None]:
    """Remove what a failed run made in a new or empty folder, if no shard was finished."""
    if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
        yield
        return
    made = [folder for folder in (job.out, *job.out.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        engine = job.out / "engine"
        if not any(job.receipt(0).parent.glob("*.json")):
            _sweep(job)
            for path in (engine / "plan.json", engine / "lock"):
                path.unlink(missing_ok=True)
            for folder in (job.data(0).parent, job.receipt(0).parent, job.dead(0).parent, engine, *made):
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lock the folder against other runs; the system releases the lock however this one ends."""
    with path.open("a") as file:
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LayoutError([f"out: another run is at work in {str(path.parent.parent)!r}"]) from None
        yield


def data_set_hash(out: Path) -> str:
    """A hash of every file of a finished data set, read again; equals the one in its manifest."""
    manifest = json.loads((out / "engine" / "manifest.json").read_text(encoding="utf-8"))
    names = [name for receipt in manifest["shards"] for name in receipt["files"]]
    return digest(json.dumps({name: digest((out / name).read_bytes()) for name in names}, sort_keys=True))
