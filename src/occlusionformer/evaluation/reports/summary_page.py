"""Several results as one page: their table, scores by difficulty, and pictures of the same layouts side by side."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from occlusionformer.evaluation.reports.cases import layout_case
from occlusionformer.evaluation.reports.difficulty import MEASURES, by_difficulty, group_score, groups, main_scores
from occlusionformer.evaluation.reports.export import summary_headers, summary_rows
from occlusionformer.evaluation.reports.grid import chosen_items, common_items
from occlusionformer.evaluation.reports.labels import labels
from occlusionformer.evaluation.reports.numbers import column_title
from occlusionformer.evaluation.reports.summary import Summary
from occlusionformer.evaluation.running.result import Result
from occlusionformer.reporting import Section, page, table, text

LAYOUTS = 8
"""Layouts shown side by side, spread over all that are common."""


def summary_page(summaries: Sequence[Summary], *, published: bool = False) -> str:
    """The tables as HTML. Pictures are those of the first run of every method."""
    sections = []
    for summary in summaries:
        results = [row.results[0] for row in summary.rows]
        body = [_explanation(summary), table(summary_headers(summary), summary_rows(summary, published=published))]
        if published and summary.published:
            body += [text(line) for line in _published_notes(summary)]
        sections.append(Section(summary.title, Markup("").join(body)))
        sections += _by_difficulty(summary, results)
        sections += _layouts(summary, results)
    return page(f"Results: {', '.join(summary.title for summary in summaries)}", sections)


def _explanation(summary: Summary) -> Markup:
    lines = []
    for row in summary.rows:
        seeds = ", ".join(str(seed) for seed in row.seeds if seed is not None)
        judges = "; ".join(dict.fromkeys(cell.judge for cell in row.cells.values() if cell is not None))
        counts = sorted({cell.num_images for cell in row.cells.values() if cell is not None})
        pictures = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "no"
        told = f" (seed {seeds})" if seeds else ""
        lines.append(
            f"{row.label}: {len(row.results)} run(s){told} of {pictures} pictures, judged by {judges or 'nobody'}."
        )
    lines.append("Numbers are means over runs with their sample standard deviation.")
    return Markup("").join(text(line) for line in lines)


def _published_notes(summary: Summary) -> list[str]:
    first = summary.published[0]
    titles = {column.name: column.title for column in summary.columns}
    notes = [f"Published figures were not measured here: {first.source}."]
    return notes + [f"{titles[name]}: not comparable, {reason}." for name, reason in first.incomparable.items()]


def _by_difficulty(summary: Summary, results: Sequence[Result]) -> list[Section]:
    """The first score of every result over groups of the first result's pictures."""
    shown = main_scores(results[0])
    if not shown:
        return []
    column = shown[0].column
    sections = []
    for measure, label in MEASURES.items():
        if not by_difficulty(results[0], measure)[1]:
            continue
        found = groups({key: values[measure] for key, values in results[0].document["difficulty"].items()})
        scores = [next((s for s in result.scores if s.column.name == column.name), None) for result in results]
        rows = [
            [
                f"{group.low:.3g} to {group.high:.3g}",
                len(group.keys),
                *(None if score is None else group_score(score, group) for score in scores),
            ]
            for group in found
        ]
        headers = [label, "pictures", *(row.label for row in summary.rows)]
        sections.append(Section(f"{summary.title}: {column_title(column)} by {label}", table(headers, rows)))
    return sections


def _layouts(summary: Summary, results: Sequence[Result]) -> list[Section]:
    try:
        items = chosen_items(common_items(results), (), LAYOUTS)
    except ValueError:
        return []
    named = list(zip(labels(results), results, strict=True))
    cases = [layout_case(item, [(result, name, None) for name, result in named]) for item in items]
    shown = [each for each in cases if each is not None]
    return [Section(f"{summary.title}: the same layouts", Markup("").join(shown))] if shown else []
