"""Where a run's samples come from, in which plan, and which of them are kept for the probe."""

from __future__ import annotations

from dataclasses import dataclass

from occlusionformer.data.records import RecordSource
from occlusionformer.data.samples import SampleSource, WorldSamples
from occlusionformer.training.config import DataConfig, RunConfig
from occlusionformer.training.sampler import Buckets, Draw, InTurn, SampleOrder, Shuffled, bucketed

ENDLESS = 2**40
PROBES_TOGETHER = 8
"""Probe scenes that share a canvas, and a forward."""


@dataclass(frozen=True)
class DataPlan:
    """What is trained on, and in which order."""

    source: SampleSource
    plan: SampleOrder
    count: int | None
    """Samples in an epoch; None for scenes without end."""
    probe_source: SampleSource
    probe_draws: tuple[Draw, ...]
    """Never trained on, unless the recipe asks for the very samples."""
    draws: tuple[Draw, ...]
    """Every sample of a finite source once, in order, as a cache needs them."""


def data_plan(config: RunConfig) -> DataPlan:
    """ValueError if there are too few samples."""
    known = {"world": _world, "records": _records}
    return known[config.data.source](config)


def _world(config: RunConfig) -> DataPlan:
    data, logging = config.data, config.logging
    source = WorldSamples(data.seed, data.count or ENDLESS, data.world, group=config.batch)
    probes = WorldSamples(logging.probe_seed, logging.probe_count, data.world, group=PROBES_TOGETHER)
    plan: SampleOrder = InTurn(config.batch, source.canvas)
    if data.count is not None:
        members: dict[tuple[int, int], list[list[int]]] = {}
        for index in range(data.count):
            members.setdefault(source.canvas(index), [[]])[0].append(index)
        plan = Shuffled(members, batch=config.batch, seed=config.seed)
    return DataPlan(
        source=source,
        plan=plan,
        count=data.count,
        probe_source=probes,
        probe_draws=tuple(Draw(index, index, probes.canvas(index)) for index in range(len(probes))),
        draws=tuple(Draw(index, index, source.canvas(index)) for index in range(data.count or 0)),
    )


def _records(config: RunConfig) -> DataPlan:
    data = config.data
    assert data.path is not None
    source = RecordSource(data.path, data.split, masks=data.extent, image_root=data.images)
    usable = [index for index in range(len(source)) if not source.is_for_evaluation(index)][: data.count]
    count = len(usable)
    kept = min(config.logging.probe_count, max(1, count // 20))
    if count <= kept:
        unused = len(source) - count
        beside = f" beside {unused} of SA-Z that are for evaluation alone" if unused and data.count is None else ""
        raise ValueError(f"data.path: expected at least two samples in {data.path}, got {count}{beside}")
    shapes = {index: source.shape_of(index) for index in usable}
    buckets = buckets_of(data)
    plan = bucketed(shapes, buckets, usable[kept:], batch=config.batch, seed=config.seed)
    draws = tuple(Draw(index, index, buckets.canvas(shape)) for index, shape in shapes.items())
    return DataPlan(source=source, plan=plan, count=count, probe_source=source, probe_draws=draws[:kept], draws=draws)


def buckets_of(data: DataConfig) -> Buckets:
    return Buckets(side=data.canvas, step=data.aspect_step, aspects=data.aspects, instance_ends=data.instance_buckets)
