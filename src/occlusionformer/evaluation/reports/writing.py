"""The files of a report: tables, settings, scores by difficulty, and the worst and best pictures."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.reports.cases import worst_and_best
from occlusionformer.evaluation.reports.difficulty import MEASURES, by_difficulty, difficulty_rows, group_score
from occlusionformer.evaluation.reports.export import csv_text, difficulty_csv, latex_text
from occlusionformer.evaluation.reports.numbers import column_title
from occlusionformer.evaluation.reports.published import published_headers, published_heading, published_rows
from occlusionformer.evaluation.reports.summary import summarise
from occlusionformer.evaluation.reports.table import (
    facts,
    group_headers,
    group_rows,
    items_text,
    markdown_table,
    table_headers,
    table_rows,
)
from occlusionformer.evaluation.running.judgement_store import JudgementStore
from occlusionformer.evaluation.running.result import Result
from occlusionformer.layout import write_atomic
from occlusionformer.reporting import Section, line_chart, page, table, text


def write_reports(result: Result, items: Mapping[str, BenchmarkItem], store: JudgementStore) -> None:
    """`table.md`, `table.csv`, `table.tex`, `difficulty.csv` and `report.html` in the folder of the run."""
    assert result.path is not None
    summaries = summarise([result])
    write_atomic(result.path / "table.md", markdown_table(result))
    write_atomic(result.path / "table.csv", csv_text(summaries))
    write_atomic(result.path / "table.tex", latex_text(summaries))
    write_atomic(result.path / "difficulty.csv", difficulty_csv(result))
    write_atomic(result.path / "report.html", _report(result, items, store))


def _report(result: Result, items: Mapping[str, BenchmarkItem], store: JudgementStore) -> str:
    title = result.document["run"]["benchmark"]["title"]
    return page(f"{title}: {result.method}", report_sections(result, items, store))


def report_sections(result: Result, items: Mapping[str, BenchmarkItem], store: JudgementStore) -> list[Section]:
    """All that a report says of one result."""
    run = result.document["run"]
    notes = [text(note) for note in run["benchmark"]["notes"]]
    results = [text(f"{items_text(result)}."), table(table_headers(result), table_rows(result)), *notes]
    return [
        Section("Results", Markup("").join(results)),
        *_published(result),
        *_by_group(result),
        *_by_difficulty(result),
        *worst_and_best(result, items, store),
        Section("Judges", table(["judge", "question", "answered", "failed", "not asked"], _judge_rows(result))),
        Section("What moves these numbers", table(["setting", "value"], facts(result))),
    ]


def _published(result: Result) -> list[Section]:
    heading, rows = published_heading(result), published_rows(result)
    if heading is None or not rows:
        return []
    body = Markup("").join([text(heading), table(published_headers(result), rows)])
    return [Section("Published figures, not measured here", body)]


def _by_group(result: Result) -> list[Section]:
    if not result.groups:
        return []
    return [Section("Groups of pictures", table(group_headers(result), group_rows(result)))]


def _by_difficulty(result: Result) -> list[Section]:
    """For every measure of difficulty a table and a chart of the same numbers."""
    sections = []
    for measure, label in MEASURES.items():
        scores, found = by_difficulty(result, measure)
        if not found:
            continue
        headers = [label, "pictures", *(column_title(score.column) for score in scores)]
        series = {
            score.column.title: [
                (group.middle, value) for group in found if (value := group_score(score, group)) is not None
            ]
            for score in scores
        }
        body = [table(headers, difficulty_rows(scores, found)), line_chart(series, label, "score")]
        sections.append(Section(f"By {label}", Markup("").join(body)))
    return sections


def _judge_rows(result: Result) -> list[list[str]]:
    rows = []
    for judge in result.document["judges"]:
        for question, counts in judge["questions"].items():
            failed = ", ".join(f"{number} {reason}" for reason, number in counts["failed"].items()) or "0"
            odd = counts.get("unreadable replies", 0)
            told = f"{failed}; {odd} replies unreadable, counted as no" if odd else failed
            rows.append([judge["spec"], question, str(counts["answered"]), told, str(counts["missing"])])
    return rows
