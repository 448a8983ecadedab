"""Runs from beginning to end: draw, judge, score. A run that was stopped goes on where it was."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path

from occlusionformer.evaluation.benchmark import Benchmark, Item, MetricSpec, Question
from occlusionformer.evaluation.reports import write_reports
from occlusionformer.evaluation.running.drawing import draw_missing
from occlusionformer.evaluation.running.folder import RunFolder, Share
from occlusionformer.evaluation.running.judging import Hearing, hear
from occlusionformer.evaluation.running.plan import Plan, Progress
from occlusionformer.evaluation.running.result import Result, Scoring, result_of, result_text
from occlusionformer.evaluation.running.seats import Seat, all_questions, seat_for
from occlusionformer.evaluation.running.transcript import Transcript
from occlusionformer.layout import write_atomic


@dataclass(frozen=True, kw_only=True)
class Working:
    """How a run is carried out; nothing of this may move a number."""

    workers: int = 1
    """Processes, each with a model and judges of its own."""
    share: Share = field(default_factory=Share)
    """Which part of the items this process and its workers take."""
    retry: bool = False
    """Ask again where a judge gave nothing usable in an earlier run."""

    def __post_init__(self) -> None:
        problems = []
        if self.workers < 1:
            problems.append(f"workers: expected at least 1, got {self.workers}")
        if not 0 <= self.share.part < self.share.parts:
            problems.append(f"shard: expected i/n with 1 <= i <= n, got {self.share.part + 1}/{self.share.parts}")
        if problems:
            raise ValueError("\n".join(problems))


def evaluate(
    plan: Plan, folder: str | Path, *, working: Working | None = None, progress: Progress | None = None
) -> Result:
    """Carry out a plan in a folder, or what is left of it there, and write result, table and report.

    Raises ValueError for a plan that cannot be carried out, and for a folder that holds a run of another plan.
    """
    how = Working() if working is None else working
    tell = _silent if progress is None else progress
    plan.check()
    benchmark = plan.loaded()
    items = plan.items_of(benchmark)
    seats = plan.seats()
    all_questions(benchmark.questions, seats)
    place = RunFolder(Path(folder))
    place.start(plan.asked(benchmark, items), items)
    if how.workers == 1:
        carry_out(replace(plan, benchmark=benchmark), place, how, tell)
    else:
        _in_processes(plan, place, how, min(how.workers, len(items)))
    return rescore(folder, benchmark.metrics)


def rescore(folder: str | Path, metrics: tuple[MetricSpec, ...] = ()) -> Result:
    """Compute result, table and report of a folder again, from its records alone."""
    place = RunFolder(Path(folder))
    scoring = Scoring.of(place, metrics)
    result = result_of(scoring)
    write_atomic(place.path / "result.json", result_text(result))
    write_reports(result, scoring.items, scoring.transcript)
    return result


def carry_out(plan: Plan, place: RunFolder, how: Working, progress: Progress) -> None:
    """One share of a run, in this process."""
    benchmark = plan.loaded()
    items = plan.items_of(benchmark)[how.share.part :: how.share.parts]
    with place.writing(how.share) as files:
        hearing = Hearing(
            items=items,
            pictures={},
            transcript=Transcript.of(place, plan.seats(), benchmark),
            files=files,
            progress=progress,
            retry=how.retry,
        )
        drawable = _conditioned(benchmark, hearing)
        pictures = draw_missing(plan, place, files, drawable, progress)
        judged = replace(hearing, pictures=pictures)
        judged.transcript.digests.update(place.digests())
        answerable = [each for each in benchmark.questions if seat_for(each.kind, hearing.transcript.seats)]
        hear(judged, answerable)


def _conditioned(benchmark: Benchmark, hearing: Hearing) -> Sequence[Item]:
    """The items with the order that judges see in their references; without one where they see none."""
    condition = benchmark.conditions_on
    seats: Sequence[Seat] = hearing.transcript.seats
    if condition is None or seat_for(condition.kind, seats) is None:
        return hearing.items
    hear(hearing, [condition])
    return [_with_order(item, condition, hearing.transcript) for item in hearing.items]


def _with_order(item: Item, condition: Question, transcript: Transcript) -> Item:
    record = transcript.record(item, condition)
    return item if record is None or record.answer is None else item.ordered(record.answer)


def _in_processes(plan: Plan, place: RunFolder, how: Working, workers: int) -> None:
    """Divide a share once more, among processes. Raises RuntimeError when one of them fails."""
    try:
        pickle.dumps(plan)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            "workers: expected 1, since benchmark, method and judges cannot be sent to other processes"
        ) from error
    context = multiprocessing.get_context("spawn")
    started = []
    for worker in range(workers):
        part = Share(how.share.part + worker * how.share.parts, how.share.parts * workers)
        own = Working(share=part, retry=how.retry)
        started.append(context.Process(target=_work, args=(plan, place.path, own)))
    try:
        for process in started:
            process.start()
        for process in started:
            process.join()
    finally:
        for process in started:
            if process.is_alive():
                process.terminate()
    failed = [process.exitcode for process in started if process.exitcode]
    if failed:
        raise RuntimeError(f"{len(failed)} of {workers} workers failed; what they did is kept")


def _work(plan: Plan, path: Path, how: Working) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    carry_out(plan, RunFolder(path), how, _silent)


def _end_with_parent() -> None:
    """Nobody writes into the folder of a run that was killed: the next one may have begun."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _silent(what: str, done: int, total: int) -> None:
    pass
