"""The report of a run: table, settings, curves over difficulty, and the worst and best pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from occlusionformer.evaluation.benchmark import Item, Question
from occlusionformer.evaluation.reports.pictures import thumbnail
from occlusionformer.evaluation.reports.table import facts, markdown_table, table_headers, table_rows
from occlusionformer.evaluation.running.judgement_store import JudgementStore
from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scores import Score
from occlusionformer.layout import write_atomic
from occlusionformer.reporting import Section, figure, gallery, line_chart, page, table, text

DIFFICULTIES = {
    "instances": "number of instances",
    "overlapping_pairs": "number of overlapping pairs",
    "total_iou": "sum of the overlaps of all pairs (IoU)",
}

CASES = 8
"""Pictures shown at either end."""
BINS = 5
"""Points of a curve over difficulty, with about as many pictures each."""
LEAST_PICTURES = 10
"""A curve through fewer is noise."""


def write_reports(result: Result, items: Mapping[str, Item], store: JudgementStore) -> None:
    """`table.md` and `report.html` in the folder of the run."""
    assert result.path is not None
    write_atomic(result.path / "table.md", markdown_table(result))
    write_atomic(result.path / "report.html", _report(result, items, store))


def per_picture(score: Score) -> dict[str, float]:
    """What each picture scores by itself, by its key."""
    pairs = zip(score.keys, score.totals, score.weights, strict=True)
    return {key: total / weight for key, total, weight in pairs if weight > 0}


def main_score(result: Result) -> Score | None:
    """The first number that pictures have by themselves: worst and best are told by it."""
    return next((score for score in result.scores if score.keys), None)


def _report(result: Result, items: Mapping[str, Item], store: JudgementStore) -> str:
    run = result.document["run"]
    notes = [text(note) for note in run["benchmark"]["notes"]]
    sections = [
        Section("Results", Markup("").join([table(table_headers(result), table_rows(result)), *notes])),
        *_curves(result),
        *_cases(result, items, store),
        Section("Judges", table(["judge", "question", "answered", "failed", "not asked"], _judge_rows(result))),
        Section("What moves these numbers", table(["setting", "value"], facts(result))),
    ]
    return page(f"{run['benchmark']['title']}: {result.method}", sections)


def _curves(result: Result) -> list[Section]:
    """For every measure of difficulty one chart, with the first number of every metric."""
    sections = []
    difficulty = result.document["difficulty"]
    first = {score.metric: score for score in reversed(result.scores) if len(score.keys) >= LEAST_PICTURES}
    for measure, label in DIFFICULTIES.items():
        series = {
            score.column.title: _binned(per_picture(score), {key: difficulty[key][measure] for key in score.keys})
            for score in reversed(first.values())
        }
        if any(len(points) > 1 for points in series.values()):
            sections.append(Section(f"By {label}", line_chart(series, label, "score")))
    return sections


def _binned(values: Mapping[str, float], difficulty: Mapping[str, float]) -> list[tuple[float, float]]:
    """Means over groups of pictures that follow one another in difficulty; equal ones stay together."""
    groups: dict[float, list[float]] = {}
    for key, value in values.items():
        groups.setdefault(difficulty[key], []).append(value)
    points: list[tuple[float, float]] = []
    held: list[tuple[float, float]] = []
    for place in sorted(groups):
        held += [(place, value) for value in groups[place]]
        if len(held) * BINS >= len(values):
            points.append(_middle(held))
            held = []
    return [*points, _middle(held)] if held else points


def _middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def _cases(result: Result, items: Mapping[str, Item], store: JudgementStore) -> list[Section]:
    score = main_score(result)
    if score is None:
        return []
    values = per_picture(score)
    sign = 1 if score.column.higher_is_better else -1
    ranked = sorted(values, key=lambda key: (sign * values[key], key))
    ends = {"Worst": ranked[:CASES], "Best": ranked[CASES:][::-1][:CASES]}
    sections = []
    for end, keys in ends.items():
        figures = []
        for key in keys:
            detected = store.answers(items[key], [Question("detect")]).get(Question("detect"))
            picture = thumbnail(result, items[key], answer=detected)
            if picture is not None:
                figures.append(figure(picture, f"{key}: {score.column.title} {values[key]:.3f}"))
        if figures:
            sections.append(Section(f"{end} by {score.column.title}", gallery(figures)))
    return sections


def _judge_rows(result: Result) -> list[list[str]]:
    rows = []
    for judge in result.document["judges"]:
        for question, counts in judge["questions"].items():
            failed = ", ".join(f"{number} {reason}" for reason, number in counts["failed"].items()) or "0"
            rows.append([judge["spec"], question, str(counts["answered"]), failed, str(counts["missing"])])
    return rows
