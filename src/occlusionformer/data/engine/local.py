"""Runs a plan in this process, one shard after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from occlusionformer.data.engine.plan import StageKind
from occlusionformer.data.engine.running import load_items, run_stage
from occlusionformer.data.engine.shards import ShardTask, write_done
from occlusionformer.data.engine.stages import make_stage

OnBatch = Callable[[str, int], None]
"""Callback: name of a stage, and how many more pictures it has done."""


@dataclass
class LocalExecutor:
    """Stages are set up when the first shard needs them and kept."""

    on_batch: OnBatch | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Time that every stage has taken, by its place in the plan and its name."""

    def run(self, job: ShardTask, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        stages = []
        for plan in job.plan.stages:
            stage = make_stage(plan)
            stage.setup()
            stages.append((plan, stage))
        for number in numbers:
            began = time.perf_counter()
            inputs = job.inputs(number)
            items = load_items(job.source, job.indices(number))
            self._spent("load", began)
            for place, (plan, stage) in enumerate(stages):
                began = time.perf_counter()
                items = run_stage(stage, plan.stage, items, batch_size=plan.batch_size, on_batch=self._listener(plan))
                self._spent(f"{place}-{plan.stage}", began)
            began = time.perf_counter()
            receipt = write_done(job, number, items, inputs=inputs)
            self._spent("write", began)
            yield receipt

    def _listener(self, plan: StageKind) -> Callable[[int], None] | None:
        listener = self.on_batch
        if listener is None:
            return None
        return lambda count: listener(plan.stage, count)

    def _spent(self, name: str, began: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
