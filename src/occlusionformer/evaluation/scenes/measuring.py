"""A run of the benchmark: every part of it is a plan that `evaluation.running` carries out in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import occlusionformer
from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.benchmarks.sources.scenes import BENCHMARKS, CONTROLLED, JUDGE, LazyItems
from occlusionformer.evaluation.judgement import digest
from occlusionformer.evaluation.running.code import code_version
from occlusionformer.evaluation.running.drawing import KeptModel
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.plan import Drawing, Plan, Progress
from occlusionformer.evaluation.running.result import RecordedRun, Result
from occlusionformer.evaluation.running.runner import RunOptions, evaluate
from occlusionformer.evaluation.running.shelf import PictureShelf
from occlusionformer.evaluation.scenes.calibration import (
    Calibration,
    KnownItems,
    calibration_of,
    calibration_plan,
    recorded_calibration,
)
from occlusionformer.evaluation.scenes.edition import judge_digest
from occlusionformer.evaluation.scenes.known import KINDS, LIGHTS, ORDERS
from occlusionformer.evaluation.scenes.layouts import LAYOUTS, SPLITS, Split
from occlusionformer.evaluation.scenes.robustness import LAYOUTS_CHANGED, LAYOUTS_PER_COUNT
from occlusionformer.generation import nearest_size

RUNS, PICTURES, KNOWN_PICTURES = "runs", "pictures", "known-pictures"
"""Folders inside that of the results: runs, pictures that several of them share, and those of the calibration."""
CALIBRATED = 60
"""Layouts of every split whose pictures the judge is calibrated on."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What to measure."""

    splits: tuple[Split, ...] = SPLITS
    limit: int = LAYOUTS
    """Layouts of every split, pairs of the order control; fewer give figures of less weight."""
    calibrate: bool = False
    control: bool = False
    robustness: bool = False

    def __post_init__(self) -> None:
        problems = []
        unknown = [split for split in self.splits if split not in SPLITS]
        if unknown or not self.splits:
            problems.append(f"split: expected one or more of {', '.join(SPLITS)}, got {', '.join(unknown) or 'none'}")
        if not 1 <= self.limit <= LAYOUTS:
            problems.append(f"limit: expected 1 to {LAYOUTS}, got {self.limit}")
        if problems:
            raise ValueError("\n".join(problems))


@dataclass(frozen=True, kw_only=True)
class MeasuredModel:
    """A model and the settings it is measured with."""

    name: str
    """As `load_generator` takes it."""
    weights: str | None
    """Digest of everything the model is loaded from; None, where it is not known, keeps pictures from being reused."""
    steps: int | None = None
    size: int | None = None
    """Side of the pictures in pixels; None is that of the layouts."""

    def __post_init__(self) -> None:
        if self.size is not None and (nearest := nearest_size(self.size, self.size)[0]) != self.size:
            raise ValueError(f"size: expected a multiple of 16, got {self.size}; the nearest is {nearest}")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The result of one part, and the records it was computed from."""

    result: Result
    recorded: RecordedRun


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that was measured."""

    model: MeasuredModel
    wishes: Wishes
    code: dict[str, Any]
    splits: Mapping[Split, Measured]
    calibration: Calibration | None
    control: Measured | None
    robustness: Measured | None


@dataclass(frozen=True)
class ResizedItems(LazyItems):
    """Items with square canvases of another side."""

    items: Sequence[BenchmarkItem]
    side: int

    def __len__(self) -> int:
        return len(self.items)

    def item(self, place: int) -> BenchmarkItem:
        return self.items[place].resized((self.side, self.side))


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """Where and how the parts are carried out."""

    model: MeasuredModel
    kept: KeptModel
    folder: Path
    workers: int
    progress: Progress

    def measured(self, title: str, benchmark: Benchmark, limit: int | None = None) -> Measured:
        """One part, drawn by the model and judged."""
        size, name = self.model.size, self.model.name
        if size is not None:
            settings = {**benchmark.settings, "size": size}
            benchmark = replace(benchmark, items=ResizedItems(benchmark.items, size), settings=settings)
        plan = Plan(
            benchmark=benchmark,
            method=self.kept,
            judges=(JUDGE,),
            drawing=Drawing(steps=self.model.steps),
            limit=limit,
            name=name,
            weights=self.model.weights,
        )
        return self.carried_out(title, plan)

    def carried_out(self, title: str, plan: Plan) -> Measured:
        """One part in its folder. What was done of it before is not done again."""
        weights = self.model.weights
        shelf = None
        if weights is not None:
            shelf = PictureShelf(folder=self.folder / PICTURES, model=self.model.name, weights=weights)
        options = RunOptions(workers=self.workers, draws_first=True, shelf=shelf)
        folder = self._folder(title, plan)
        result = evaluate(
            plan,
            folder,
            options=options,
            progress=lambda what, done, total: self.progress(f"{title}: {what}", done, total),
        )
        return Measured(result=result, recorded=RecordedRun.of(RunFolder(folder)))

    def _folder(self, title: str, plan: Plan) -> Path:
        """Named by all that decides the results, so that a command with other options does not meet another's run.

        Where the weights are not known, a run that was finished is left alone and a new one begun.
        """
        assert isinstance(plan.benchmark, Benchmark)
        is_drawn = not isinstance(plan.method, Path)
        decides = [
            plan.benchmark.name,
            dict(plan.benchmark.settings),
            plan.limit,
            [asdict(plan.drawing), asdict(self.model)] if is_drawn else None,
            [judge_digest(), occlusionformer.__version__],
        ]
        first = self.folder / RUNS / f"{title}-{digest(decides)[:12]}"
        found, number = first, 1
        while is_drawn and self.model.weights is None and (found / "result.json").exists():
            number += 1
            found = first.with_name(f"{first.name}-{number}")
        found.parent.mkdir(parents=True, exist_ok=True)
        return found


def run_benchmark(
    model: MeasuredModel, wishes: Wishes, folder: Path, *, progress: Progress, workers: int = 1
) -> Results:
    """Draw and judge all that is wished for; a run that was stopped goes on where it was.

    workers: processes that judge; the results are the same with any number.
    """
    bench = _Bench(model=model, kept=KeptModel(model.name), folder=folder, workers=workers, progress=progress)
    splits = {
        split: bench.measured(split, load_benchmark(f"{BENCHMARKS}-{split}"), wishes.limit) for split in wishes.splits
    }
    control = robustness = known = None
    if wishes.control:
        pairs = {"pairs": min(wishes.limit, CONTROLLED)}
        control = bench.measured("order-control", load_benchmark(f"{BENCHMARKS}-order-control", source_settings=pairs))
    if wishes.robustness:
        counts = {
            "layouts": min(wishes.limit, LAYOUTS_CHANGED),
            "per_count": min(wishes.limit, LAYOUTS_PER_COUNT),
        }
        robustness = bench.measured("robustness", load_benchmark(f"{BENCHMARKS}-robustness", source_settings=counts))
    if wishes.calibrate:
        known = _calibrate(bench, wishes)
    return Results(
        model=model,
        wishes=wishes,
        code=code_version(),
        splits=splits,
        calibration=known or recorded_calibration(),
        control=control,
        robustness=robustness,
    )


def _calibrate(bench: _Bench, wishes: Wishes) -> Calibration:
    """Judge known pictures: of the last split all kinds, of the others true ones and other lights."""
    layouts = min(wishes.limit, CALIBRATED)
    found: dict[Split, Result] = {}
    for split in wishes.splits:
        kinds = tuple(KINDS) if split == wishes.splits[-1] else (*ORDERS, *LIGHTS)
        items = KnownItems(split, layouts, kinds)
        plan = calibration_plan(items, bench.folder / KNOWN_PICTURES, bench.progress)
        found[split] = bench.carried_out(f"calibration-{split}", plan).result
    return calibration_of(found)
