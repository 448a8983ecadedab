"""Several results in one table: a row for every method, with mean and deviation over its seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from occlusionformer.evaluation.benchmark import Column
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.reports.labels import labelled, run_facts, run_group, seed_of
from occlusionformer.evaluation.reports.published import judge_text, reasons_against
from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scores import Score


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number of the table, over one run or several."""

    mean: float
    deviation: float | None
    """Sample standard deviation over runs; None for a single one."""
    num_runs: int
    num_images: int
    """Pictures of each run that count; the smallest of the runs."""
    low: float | None = None
    high: float | None = None
    """The interval over pictures; of a single run only."""
    judge: str = ""


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """All runs of a method with the same settings, items and judges."""

    label: str
    seeds: tuple[int | None, ...]
    results: tuple[Result, ...]
    cells: Mapping[str, Cell | None]
    """By the name of the column."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """Figures that others published."""

    label: str
    source: str
    figures: Mapping[str, float]
    incomparable: Mapping[str, str]
    """By column, why no row above can be compared with the figure."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The table of one benchmark."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[MethodRow, ...]
    published: tuple[PublishedRow, ...]

    def best(self, column: Column) -> float | None:
        """The best mean among the rows measured here; None where fewer than two of them have one."""
        means = [cell.mean for row in self.rows if (cell := row.cells.get(column.name)) is not None]
        return max(means, key=column.merit) if len(means) > 1 else None


def summarise(results: Sequence[Result], *, columns: Sequence[str] = ()) -> list[Summary]:
    """One table for every benchmark, in the order in which they come up.

    `columns` are names of columns to show, by default all that are no details and have a value. Raises ValueError for
    a result that is given twice, and for a column that no result has.
    """
    folders = [result.path.resolve() for result in results if result.path is not None]
    problems = [f"{path}: expected every result once" for path in sorted({p for p in folders if folders.count(p) > 1})]
    known = {score.column.name for result in results for score in result.scores}
    problems += [
        f"metrics: expected some of ({', '.join(sorted(known))}), got {name!r}" for name in columns if name not in known
    ]
    if problems:
        raise ValueError("\n".join(problems))
    by_benchmark: dict[str, list[Result]] = {}
    for result in results:
        by_benchmark.setdefault(result.document["run"]["benchmark"]["name"], []).append(result)
    return [_summary(found, columns) for found in by_benchmark.values()]


def _summary(results: Sequence[Result], chosen: Sequence[str]) -> Summary:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(run_group(result), []).append(result)
    facts = [run_facts(group[0]) for group in groups.values()]
    names = labelled([group[0].method for group in groups.values()], facts)
    names = [f"{name} #{place}" if names.count(name) > 1 else name for place, name in enumerate(names, start=1)]
    columns = _columns(results, chosen)
    rows = tuple(_row(label, group, columns) for label, group in zip(names, groups.values(), strict=True))
    benchmark = results[0].document["run"]["benchmark"]
    return Summary(
        name=benchmark["name"],
        title=benchmark["title"],
        columns=columns,
        rows=rows,
        published=_published(benchmark, results, columns),
    )


def _columns(results: Sequence[Result], chosen: Sequence[str]) -> tuple[Column, ...]:
    scores = {score.column.name: score for result in results for score in reversed(result.scores)}
    ordered = [name for result in results for name in (score.column.name for score in result.scores)]
    with_value = {s.column.name for result in results for s in result.scores if s.value is not None}
    if chosen:
        return tuple(scores[name].column for name in chosen if name in scores)
    return tuple(
        scores[name].column
        for name in dict.fromkeys(ordered)
        if name in with_value and not scores[name].column.is_detail
    )


def _row(label: str, results: Sequence[Result], columns: Sequence[Column]) -> MethodRow:
    return MethodRow(
        label=label,
        seeds=tuple(seed_of(result) for result in results),
        results=tuple(results),
        cells={column.name: _cell(results, column) for column in columns},
    )


def _cell(results: Sequence[Result], column: Column) -> Cell | None:
    """Over the runs that have a value."""
    found = [(result, score) for result in results if (score := _score(result, column)) is not None]
    if not found:
        return None
    values = [score.value for _, score in found if score.value is not None]
    mean = math.fsum(values) / len(values)
    deviation = None
    if len(values) > 1:
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    alone = found[0][1] if len(found) == 1 else None
    return Cell(
        mean=mean,
        deviation=deviation,
        num_runs=len(values),
        num_images=min(score.num_images for _, score in found),
        low=None if alone is None else alone.low,
        high=None if alone is None else alone.high,
        judge=judge_text(*found[0]),
    )


def _score(result: Result, column: Column) -> Score | None:
    return next((s for s in result.scores if s.column.name == column.name and s.value is not None), None)


def _published(
    benchmark: Mapping[str, Json], results: Sequence[Result], columns: Sequence[Column]
) -> tuple[PublishedRow, ...]:
    source = (benchmark.get("reported_with") or {}).get("source", "source not stated")
    names = {column.name for column in columns}
    incomparable: dict[str, str] = {}
    for column in columns:
        reasons = [
            reasons_against(result, score)
            for result in results
            for score in result.scores
            if score.column.name == column.name
        ]
        if reasons and all(reasons):
            incomparable[column.name] = "; ".join(reasons[0])
    rows = []
    for method, figures in benchmark["reported"].items():
        shown = {name: figure for name, figure in figures.items() if name in names}
        if shown:
            rows.append(PublishedRow(label=method, source=source, figures=shown, incomparable=incomparable))
    return tuple(rows)
