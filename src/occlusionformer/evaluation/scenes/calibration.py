"""How far the judge can be trusted: what it says of pictures about which everything is known."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.benchmarks.sources.scenes import BENCHMARKS, JUDGE, LazyItems, scene_item
from occlusionformer.evaluation.running.plan import Plan, Progress
from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scenes.edition import judge_digest
from occlusionformer.evaluation.scenes.figures import Figure, by_column, figures
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.known import KINDS
from occlusionformer.evaluation.scenes.layouts import Split, bench_series
from occlusionformer.layout import write_atomic

RECORD = "calibration.json"
"""The calibration that ships with the package."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One kind of known picture of one split, and what came out."""

    kind: str
    split: Split
    figures: dict[str, Figure]
    decided_right: float | None
    """Share of right ones among the pairs that could be decided: one half is chance."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """All trials of one judge."""

    judge: str
    """Digest of the judge's code and of the artwork."""
    edition: int
    layouts: int
    """Of every split."""
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class KnownItems(LazyItems):
    """The first layouts of a split once for every kind of known picture."""

    split: Split
    layouts: int
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds) * self.layouts

    def item(self, place: int) -> BenchmarkItem:
        kind, number = self.kinds[place // self.layouts], place % self.layouts
        scene = bench_series(self.split)[number]
        return scene_item(scene, seed=0, key=f"{scene.key}-{_kind_number(kind):02d}", groups=(kind,))

    def painted(self, place: int) -> Image.Image:
        """The known picture of the item at a place."""
        kind, number = self.kinds[place // self.layouts], place % self.layouts
        rng = np.random.default_rng([number, _kind_number(kind)])
        return Image.fromarray(KINDS[kind](bench_series(self.split)[number], rng))


def calibration_plan(items: KnownItems, pictures: Path, progress: Progress) -> Plan:
    """A plan that judges known pictures, which are painted into a folder."""
    pictures.mkdir(parents=True, exist_ok=True)
    for place, item in enumerate(items):
        progress(f"painting known pictures: {items.split}", place, len(items))
        path = pictures / f"{item.key}.png"
        if not path.exists():
            encoded = io.BytesIO()
            items.painted(place).save(encoded, format="PNG")
            write_atomic(path, encoded.getvalue())
    benchmark = load_benchmark(f"{BENCHMARKS}-{items.split}")
    known = replace(
        benchmark,
        name=f"{benchmark.name}-known",
        title=f"{benchmark.title}, known pictures",
        items=items,
        groups=items.kinds,
        settings={**benchmark.settings, "num_items": len(items)},
    )
    return Plan(benchmark=known, method=pictures, judges=(JUDGE,), name="known pictures")


def calibration_of(results: Mapping[Split, Result]) -> Calibration:
    """What came out, for every kind of every split."""
    trials = [
        Trial(
            kind=kind,
            split=split,
            figures=figures(scores),
            decided_right=by_column(scores)["decided_right"].value if "decided_right" in by_column(scores) else None,
        )
        for split, result in results.items()
        for kind, scores in result.groups.items()
    ]
    layouts = max(len(group["keys"]) for result in results.values() for group in result.document["groups"])
    return Calibration(judge=judge_digest(), edition=EDITION, layouts=layouts, trials=tuple(trials))


def recorded_calibration() -> Calibration | None:
    """The one that ships with the package; None where there is none, or it is of a judge of another edition."""
    path = files("occlusionformer.evaluation.scenes") / RECORD
    value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return calibration_of_json(value) if value.get("edition") == EDITION else None


def calibration_as_json(calibration: Calibration) -> dict[str, Any]:
    return asdict(calibration)


def calibration_of_json(value: dict[str, Any]) -> Calibration:
    trials = tuple(
        Trial(
            kind=one["kind"],
            split=one["split"],
            figures={name: Figure(**figure) for name, figure in one["figures"].items()},
            decided_right=one["decided_right"],
        )
        for one in value["trials"]
    )
    return Calibration(judge=value["judge"], edition=value["edition"], layouts=value["layouts"], trials=trials)


def _kind_number(kind: str) -> int:
    return list(KINDS).index(kind)
