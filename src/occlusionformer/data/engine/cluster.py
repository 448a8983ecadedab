"""Runs a plan with Ray Data: every stage in actors of its own, shards flowing from one to the next.

A row is a whole shard, so that batches are the same as in one process and every shard is written by one task.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from occlusionformer.data.engine.item import pack, unpack
from occlusionformer.data.engine.plan import StageKind
from occlusionformer.data.engine.running import load_items, run_stage
from occlusionformer.data.engine.shards import Job, write_done
from occlusionformer.data.engine.stages import make_stage

MOST_BLOCKS = 2000
"""Shards are dealt out in at most so many portions."""
OBJECT_STORE = 512 * 2**20
"""Bytes of shared memory on a machine where Ray is started from here; without a limit Ray takes a third of it."""
SHARE = 0.9
"""Of the processors that stages may hold; the rest reads and writes."""


@dataclass(frozen=True, kw_only=True)
class RayExecutor:
    """Joins the cluster at `address`, or starts one on this machine. Raises RuntimeError where Ray is missing."""

    address: str | None = None

    def run(self, job: Job, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        ray = _ray()
        started = not ray.is_initialized()
        if started:
            limit = None if self.address else OBJECT_STORE
            ray.init(address=self.address, object_store_memory=limit, include_dashboard=False, log_to_driver=False)
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            rows = self._flow(ray, job, numbers)
            for row in rows.iter_rows():
                receipt: dict[str, Any] = json.loads(row["receipt"])
                yield receipt
        finally:
            if started:
                ray.shutdown()

    def _flow(self, ray: Any, job: Job, numbers: Sequence[int]) -> Any:
        scale = _scale(ray, job)
        rows = ray.data.from_items(
            [{"number": number} for number in numbers], override_num_blocks=min(len(numbers), MOST_BLOCKS)
        )
        rows = rows.map_batches(_Load(job), batch_size=1, batch_format="pyarrow", num_cpus=(1 - SHARE) * scale)
        for plan in job.plan.stages:
            rows = rows.map_batches(
                _Actor,
                fn_constructor_args=(plan,),
                batch_size=1,
                batch_format="pyarrow",
                num_cpus=plan.cpus * scale,
                num_gpus=plan.gpus or None,
                concurrency=plan.actors,
            )
        return rows.map_batches(_Write(job), batch_size=1, batch_format="pyarrow", num_cpus=(1 - SHARE) * scale)


class _Actor:
    """One stage, set up where it runs."""

    def __init__(self, plan: StageKind) -> None:
        self.plan = plan
        self.stage = make_stage(plan)
        self.stage.setup()

    def __call__(self, row: Any) -> Any:
        number, items = _opened(row)
        return _row(number, run_stage(self.stage, self.plan.stage, items, batch_size=self.plan.batch_size))


@dataclass(frozen=True)
class _Load:
    job: Job

    def __call__(self, row: Any) -> Any:
        number = row["number"][0].as_py()
        return _row(number, load_items(self.job.source, self.job.indices(number)))


@dataclass(frozen=True)
class _Write:
    job: Job

    def __call__(self, row: Any) -> Any:
        import pyarrow as pa

        number, items = _opened(row)
        return pa.table({"receipt": [json.dumps(write_done(self.job, number, items))]})


def _row(number: int, items: Sequence[Any]) -> Any:
    import pyarrow as pa

    return pa.table({"number": [number], "items": pa.array([pack(items)], type=pa.large_binary())})


def _opened(row: Any) -> tuple[int, list[Any]]:
    return row["number"][0].as_py(), unpack(row["items"][0].as_py())


def _scale(ray: Any, job: Job) -> float:
    """What a processor counts, so that all actors fit at once: 1 unless there are fewer than the plan would like."""
    there = float(ray.cluster_resources().get("CPU", 1))
    wanted = sum(stage.cpus * stage.actors for stage in job.plan.stages)
    return min(1.0, SHARE * there / wanted) if wanted else 1.0


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise RuntimeError("ray is not installed; pip install 'occlusionformer[ray]' brings it") from None
    return ray
