"""Carries out plans: draw, judge, score. A run that was stopped continues where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem, MetricSpec
from occlusionformer.evaluation.reports import write_reports
from occlusionformer.evaluation.running.drawing import draw_missing
from occlusionformer.evaluation.running.folder import RunFolder, Shard
from occlusionformer.evaluation.running.judge_specs import JudgeSpec, all_questions, can_be_asked, judge_spec_for
from occlusionformer.evaluation.running.judgement_store import JudgementStore
from occlusionformer.evaluation.running.judging import JudgingContext, run_judges
from occlusionformer.evaluation.running.plan import Plan, Progress
from occlusionformer.evaluation.running.references import keep_references
from occlusionformer.evaluation.running.result import RecordedRun, Result, result_of, result_text
from occlusionformer.evaluation.running.shelf import PictureShelf
from occlusionformer.evaluation.running.workers import run_in_processes
from occlusionformer.layout import write_atomic


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out; none of this changes a score."""

    workers: int = 1
    """Processes, each with a model and judges of its own."""
    shard: Shard = field(default_factory=Shard)
    """Which part of the items this process and its workers take."""
    retry: bool = False
    """Ask again where a judge gave nothing usable in an earlier run."""
    draws_first: bool = False
    """Draw all pictures in this process and let workers judge them: pictures are then drawn in the same batches with
    any number of workers. Benchmarks whose orders are judged first are drawn by the workers all the same."""
    shelf: PictureShelf | None = None
    """Where pictures are kept that other runs may need too."""

    def __post_init__(self) -> None:
        problems = []
        if self.workers < 1:
            problems.append(f"workers: expected at least 1, got {self.workers}")
        if not 0 <= self.shard.part < self.shard.parts:
            problems.append(f"shard: expected i/n with 1 <= i <= n, got {self.shard.part + 1}/{self.shard.parts}")
        if problems:
            raise ValueError("\n".join(problems))


def evaluate(
    plan: Plan, folder: str | Path, *, options: RunOptions | None = None, progress: Progress | None = None
) -> Result:
    """Carry out a plan in a folder, or what is left of it, and write result, tables and report.

    Raises ValueError for a plan that cannot be carried out, and for a folder that holds a run of another plan.
    """
    options = RunOptions() if options is None else options
    tell = _silent if progress is None else progress
    plan.check()
    benchmark = plan.load()
    items = plan.items_of(benchmark)
    specs = plan.judge_specs()
    all_questions(benchmark.questions, specs)
    place = RunFolder(Path(folder))
    place.start(plan.document(benchmark, items), items)
    if options.workers == 1:
        run_shard(replace(plan, benchmark=benchmark), place, options, tell)
    else:
        if options.draws_first and benchmark.conditions_on is None:
            _draw_shard(replace(plan, benchmark=benchmark), place, options, tell)
        run_in_processes(run_shard, plan, place, options, min(options.workers, len(items)), tell)
    return rescore(folder, benchmark.metrics)


def rescore(folder: str | Path, metrics: tuple[MetricSpec, ...] = ()) -> Result:
    """Compute result, table and report of a folder again, from its records alone."""
    place = RunFolder(Path(folder))
    scoring = RecordedRun.of(place, metrics)
    result = result_of(scoring)
    write_atomic(place.path / "result.json", result_text(result))
    write_reports(result, scoring.items, scoring.store)
    return result


def _draw_shard(plan: Plan, place: RunFolder, options: RunOptions, progress: Progress) -> None:
    items = plan.items_of(plan.load())[options.shard.part :: options.shard.parts]
    with place.writing(options.shard) as files:
        draw_missing(plan, place, files, items, progress, options.shelf)


def run_shard(plan: Plan, place: RunFolder, options: RunOptions, progress: Progress) -> None:
    """Carry out one shard of a run in this process."""
    benchmark = plan.load()
    items = plan.items_of(benchmark)[options.shard.part :: options.shard.parts]
    with place.writing(options.shard) as files:
        context = JudgingContext(
            items=items,
            pictures={},
            store=JudgementStore.of(place, plan.judge_specs()),
            files=files,
            progress=progress,
            retry=options.retry,
        )
        drawable = _conditioned(benchmark, context)
        pictures = draw_missing(plan, place, files, drawable, progress, options.shelf)
        keep_references(place, items)
        judged = replace(context, pictures=pictures)
        judged.store.note_pictures(place)
        answerable = [each for each in benchmark.questions if can_be_asked(each, context.store.specs)]
        run_judges(judged, answerable)


def _conditioned(benchmark: Benchmark, context: JudgingContext) -> Sequence[BenchmarkItem]:
    """The items with the orders that a judge saw in their references."""
    condition = benchmark.conditions_on
    specs: Sequence[JudgeSpec] = context.store.specs
    if condition is None or judge_spec_for(condition.kind, specs) is None:
        return context.items
    run_judges(context, [condition])
    return [context.store.conditioned(item, condition) for item in context.items]


def _silent(what: str, done: int, total: int) -> None:
    pass
