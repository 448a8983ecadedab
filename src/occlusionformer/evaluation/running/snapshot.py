"""Benchmarks and items as JSON, so that a run can be scored again without the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from occlusionformer.evaluation.benchmark import (
    BackgroundPicture,
    Benchmark,
    BenchmarkItem,
    ItemTruth,
    MetricSpec,
    Question,
    SwappedPair,
)
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.specs import METRICS
from occlusionformer.layout import Layout

MERELY_PRINTED = ("title", "notes", "reported", "reported_with")
"""Fields of a benchmark's document that are printed and move no number."""
RARELY_KNOWN = ("prompt_boxes", "declared_order")
"""Fields of a truth that are written only where they are known."""


def item_as_json(item: BenchmarkItem) -> dict[str, Json]:
    """Everything but the reference picture; `reference` says whether there is one."""
    truth = asdict(item.truth)
    for name in RARELY_KNOWN:
        if truth[name] is None:
            del truth[name]
    rare = {
        "picture_names": list(item.picture_names),
        "seed": item.seed,
        "groups": list(item.groups),
        "swapped": None if item.swapped is None else list(item.swapped),
    }
    return {
        "key": item.key,
        "layout": item.layout.model_dump(mode="json"),
        "truth": truth,
        "reference": item.reference is not None,
        **({} if item.background is None else {"background": item.background.digest}),
        **{name: value for name, value in rare.items() if value},
    }


def item_of_json(value: Mapping[str, Json]) -> BenchmarkItem:
    """The item without its reference picture."""
    truth = {name: _tuples(field) for name, field in value["truth"].items()}
    return BenchmarkItem(
        key=value["key"],
        layout=Layout.model_validate(value["layout"]),
        truth=ItemTruth(**truth),
        background=BackgroundPicture(digest=value["background"]) if "background" in value else None,
        picture_names=tuple(value.get("picture_names", ())),
        seed=value.get("seed", 0),
        groups=tuple(value.get("groups", ())),
        swapped=SwappedPair(*value["swapped"]) if "swapped" in value else None,
    )


def benchmark_as_json(benchmark: Benchmark) -> dict[str, Json]:
    """Everything but the items; metrics by name."""
    condition = benchmark.conditions_on
    return {
        "name": benchmark.name,
        "title": benchmark.title,
        "metrics": [metric.name for metric in benchmark.metrics],
        "conditions_on": None if condition is None else list(condition),
        "settings": dict(benchmark.settings),
        "reported": {method: dict(figures) for method, figures in benchmark.reported.items()},
        **({"reported_with": dict(benchmark.reported_with)} if benchmark.reported_with else {}),
        "notes": list(benchmark.notes),
        **({"groups": list(benchmark.groups)} if benchmark.groups else {}),
    }


def benchmark_of_json(
    value: Mapping[str, Json], items: list[BenchmarkItem], metrics: tuple[MetricSpec, ...] = ()
) -> Benchmark:
    """The benchmark over items that were read before.

    Raises ValueError for a metric that is neither packaged nor among `metrics`.
    """
    known = {**METRICS, **{metric.name: metric for metric in metrics}}
    unknown = [name for name in value["metrics"] if name not in known]
    if unknown:
        raise ValueError(f"metrics: expected one of ({', '.join(sorted(known))}), got {', '.join(unknown)}")
    condition = value["conditions_on"]
    return Benchmark(
        name=value["name"],
        title=value["title"],
        items=items,
        metrics=tuple(known[name] for name in value["metrics"]),
        conditions_on=None if condition is None else Question(*condition),
        settings=value["settings"],
        reported=value["reported"],
        reported_with=value.get("reported_with"),
        notes=tuple(value["notes"]),
        groups=tuple(value.get("groups", ())),
    )


def _tuples(value: Any) -> Any:
    """Lists as tuples, also inside lists."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
