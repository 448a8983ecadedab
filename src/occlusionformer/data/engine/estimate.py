"""Estimates a plan's cost before it runs: hours and storage, from the cost of one item and its source."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from occlusionformer.data.engine.contacts import touching_pairs
from occlusionformer.data.engine.plan import BuildPlan, CleanPlan, Expected, FilterPlan
from occlusionformer.data.engine.running import load_items
from occlusionformer.data.engine.sources import Source

SAMPLED = 20
"""Pictures that are looked at to count instances and pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """Amounts that go through the stages, and where they are known from (`basis`)."""

    pictures: int
    instances: int
    pairs: int
    occluded: int
    picture_bytes: float
    basis: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Time, or bytes, for one unit."""

    does: str
    model: str
    unit: str
    device: str
    seconds: float
    basis: str
    """`measured`, `cited` or `computed`."""
    source: str
    bytes: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StageEstimate:
    """One line of an estimate."""

    stage: str
    model: str
    units: int
    unit: str
    hours: float | None
    """None where nobody has measured what an item costs."""
    device: str
    gigabytes: float
    """Added to the data set by this stage."""
    shards: int
    basis: str
    source: str


def known_costs() -> tuple[Cost, ...]:
    """The packaged table of costs."""
    text = (files("occlusionformer.data.engine") / "costs.json").read_text(encoding="utf-8")
    return tuple(Cost(**entry) for entry in json.loads(text))


def amount_of(plan: BuildPlan, source: Source | None) -> Amount:
    """The amount that the plan expects, or one counted on a sample of its source. Raises ValueError without either."""
    if plan.expected is not None:
        return _expected(plan.expected)
    if source is None or len(source) == 0:
        raise ValueError("expected: a plan whose source is not there has to say how much there will be")
    return _sampled(source)


def estimate(plan: BuildPlan, amount: Amount) -> list[StageEstimate]:
    """An estimate for reading, for every stage, and for writing."""
    shards = math.ceil(amount.pictures / plan.shard_size)
    models = sum(not isinstance(stage, CleanPlan | FilterPlan) for stage in plan.stages)
    reading = replace(amount, pictures=amount.pictures * (1 + models))
    lines = [_line("load", "", reading, shards)]
    for stage in plan.stages:
        model = "" if isinstance(stage, CleanPlan | FilterPlan) else stage.model.partition(":")[0]
        lines.append(_line(stage.stage, model, amount, shards))
    return [*lines, _line("write", "", amount, shards)]


def totals(lines: Sequence[StageEstimate]) -> dict[str, Any]:
    """Totals: hours by device, storage in gigabytes, and the stages of unknown cost."""
    hours: dict[str, float] = {}
    for line in lines:
        if line.hours is not None:
            hours[line.device] = hours.get(line.device, 0.0) + line.hours
    return {
        "hours": hours,
        "gigabytes": sum(line.gigabytes for line in lines),
        "unknown": [f"{line.stage} by {line.model}" for line in lines if line.hours is None],
    }


def _line(stage: str, model: str, amount: Amount, shards: int) -> StageEstimate:
    cost = _costs().get((stage, model))
    stored = amount.pictures * amount.picture_bytes if stage == "write" else 0.0
    if cost is None:
        return StageEstimate(
            stage=stage,
            model=model,
            units=amount.pictures,
            unit="pictures",
            hours=None,
            device="",
            gigabytes=stored / 1e9,
            shards=shards,
            basis="unknown",
            source="nobody has measured this model; run a few pictures first",
        )
    units = getattr(amount, cost.unit)
    return StageEstimate(
        stage=stage,
        model=model,
        units=units,
        unit=cost.unit,
        hours=units * cost.seconds / 3600,
        device=cost.device,
        gigabytes=(units * cost.bytes + stored) / 1e9,
        shards=shards,
        basis=cost.basis,
        source=cost.source,
    )


@lru_cache(maxsize=1)
def _costs() -> dict[tuple[str, str], Cost]:
    return {(cost.does, cost.model): cost for cost in known_costs()}


def _expected(given: Expected) -> Amount:
    mean = given.instances / given.pictures
    most_pairs = max(0, round(given.instances * (mean - 1) / 2))
    guesses = [name for name, value in (("pairs", given.pairs), ("occluded", given.occluded)) if value is None]
    return Amount(
        pictures=given.pictures,
        instances=given.instances,
        pairs=most_pairs if given.pairs is None else given.pairs,
        occluded=given.instances if given.occluded is None else given.occluded,
        picture_bytes=given.picture_bytes or 0,
        basis="stated by the plan" + (f"; {' and '.join(guesses)} at most" if guesses else ""),
    )


def _sampled(source: Source) -> Amount:
    """Spread over the source; broken pictures count as having nothing on them."""
    count = min(SAMPLED, len(source))
    places = [round(place * (len(source) - 1) / max(count - 1, 1)) for place in range(count)]
    items = [item for item in load_items(source, places) if item.failure is None]
    instances = sum(len(item.known().instances) for item in items)
    pairs = sum(len(touching_pairs(item.visible(), reach=2)) for item in items)
    size = sum(len(item.file()) for item in items) / max(len(items), 1)
    scale = len(source) / count
    return Amount(
        pictures=len(source),
        instances=round(instances * scale),
        pairs=round(pairs * scale),
        occluded=round(min(instances, pairs) * scale),
        picture_bytes=size,
        basis=f"a sample of {count} pictures; at most one occluded instance for every pair",
    )
