"""Runs a plan on Ray Data: stages in pools of actors, shards passed from pool to pool.

A row is a whole shard, so that batches are the same as in one process and every shard is written by one task.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from occlusionformer.data.engine.item import Item, pack, unpack
from occlusionformer.data.engine.plan import StageKind
from occlusionformer.data.engine.running import load_items, run_stage
from occlusionformer.data.engine.shards import ShardTask, write_done
from occlusionformer.data.engine.stages import make_stage

MOST_BLOCKS = 2000
"""Greatest number of blocks that shards are distributed in."""
OBJECT_STORE = 512 * 2**20
"""Bytes of shared memory on a machine where Ray is started from here; without a limit Ray takes a third of it."""
SHARE = 0.8
"""Share of the processors for stages; the rest reads and writes."""
SMALL = 0.05
"""Processors that reading and writing ask for: they mostly wait for the disk."""
SERVED = 8
"""Actors of stages for each actor that reads, and for each that writes."""


@dataclass(frozen=True, kw_only=True)
class RayExecutor:
    """Joins the cluster at `address`, or starts one on this machine. Raises RuntimeError if Ray is not installed."""

    address: str | None = None

    def run(self, job: ShardTask, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes out that nobody asked for
        ray = _ray()
        started = not ray.is_initialized()
        if started:
            limit = None if self.address else OBJECT_STORE
            ray.init(address=self.address, object_store_memory=limit, include_dashboard=False, log_to_driver=False)
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            rows = self._flow(ray, replace(job), numbers)
            for row in rows.iter_rows():
                receipt: dict[str, Any] = json.loads(row["receipt"])
                yield receipt
        finally:
            if started:
                ray.shutdown()

    def _flow(self, ray: Any, job: ShardTask, numbers: Sequence[int]) -> Any:
        scale = _scale(ray, job)
        rows = ray.data.from_items(
            [{"number": number} for number in numbers], override_num_blocks=min(len(numbers), MOST_BLOCKS)
        )
        rows = _at_disks(rows, _Loader, job, scale)
        for plans in groups(job.plan.stages):
            rows = rows.map_batches(
                _Actor,
                fn_constructor_args=(plans,),
                batch_size=1,
                batch_format="pyarrow",
                num_cpus=plans[0].cpus * scale,
                num_gpus=plans[0].gpus or None,
                concurrency=plans[0].actors,
            )
        return _at_disks(rows, _Writer, job, scale)


def groups(stages: Sequence[StageKind]) -> list[tuple[StageKind, ...]]:
    """Groups of successive stages with the same resources; the stages of a group share actors."""
    found = groupby(stages, key=lambda plan: (plan.cpus, plan.gpus, plan.actors))
    return [tuple(plans) for _, plans in found]


def _at_disks(rows: Any, kind: type[Any], job: ShardTask, scale: float) -> Any:
    """Map shards through actors that mostly wait for disks: one for every few that compute."""
    actors = sum(plans[0].actors for plans in groups(job.plan.stages))
    return rows.map_batches(
        kind,
        fn_constructor_args=(job,),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=SMALL * scale,
        concurrency=-(-actors // SERVED),
    )


class _Actor:
    """An actor that sets up its stages in its own process."""

    def __init__(self, plans: Sequence[StageKind]) -> None:
        self.stages = [(plan, make_stage(plan)) for plan in plans]
        for _, stage in self.stages:
            stage.setup()

    def __call__(self, row: Any) -> Any:
        number, inputs, items = _opened(row)
        for plan, stage in self.stages:
            items = run_stage(stage, plan.stage, items, batch_size=plan.batch_size)
        return _row(number, inputs, items)


class _Loader:
    """An actor that reads items; it keeps the source, as listing it may take long."""

    def __init__(self, job: ShardTask) -> None:
        self.job = job

    def __call__(self, row: Any) -> Any:
        number = row["number"][0].as_py()
        return _row(number, self.job.inputs(number), load_items(self.job.source, self.job.indices(number)))


class _Writer:
    """An actor that writes finished shards."""

    def __init__(self, job: ShardTask) -> None:
        self.job = job

    def __call__(self, row: Any) -> Any:
        import pyarrow as pa

        number, inputs, items = _opened(row)
        return pa.table({"receipt": [json.dumps(write_done(self.job, number, items, inputs=inputs))]})


def _row(number: int, inputs: str, items: Sequence[Item]) -> Any:
    import pyarrow as pa

    packed = pa.array([pack(items)], type=pa.large_binary())
    return pa.table({"number": [number], "inputs": [inputs], "items": packed})


def _opened(row: Any) -> tuple[int, str, list[Item]]:
    return row["number"][0].as_py(), row["inputs"][0].as_py(), unpack(row["items"][0].as_py())


def _scale(ray: Any, job: ShardTask) -> float:
    """Factor on the processors asked for, so that all actors fit at once; 1 if there are enough."""
    there = float(ray.cluster_resources().get("CPU", 1))
    wanted = sum(plans[0].cpus * plans[0].actors for plans in groups(job.plan.stages))
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
