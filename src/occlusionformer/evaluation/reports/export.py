"""Tables for papers and programs: LaTeX, CSV, and plain text for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from occlusionformer.evaluation.benchmark import Column
from occlusionformer.evaluation.reports.difficulty import MEASURES, by_difficulty, group_score
from occlusionformer.evaluation.reports.numbers import column_title, number_text
from occlusionformer.evaluation.reports.summary import Cell, Summary
from occlusionformer.evaluation.running.result import Result

CSV_FIELDS = (
    "benchmark",
    "method",
    "source",
    "column",
    "title",
    "higher_is_better",
    "mean",
    "deviation",
    "runs",
    "seeds",
    "low",
    "high",
    "pictures",
    "judge",
    "not_comparable_because",
)
DIFFICULTY_FIELDS = ("benchmark", "method", "measure", "low", "high", "pictures", "column", "title", "value")
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def csv_text(summaries: Sequence[Summary], *, published: bool = True) -> str:
    """A line for every number: measured here (`source` is `measured`), and published by others."""
    rows: list[dict[str, object]] = []
    for summary in summaries:
        for row in summary.rows:
            for column in summary.columns:
                if (cell := row.cells[column.name]) is not None:
                    seeds = " ".join(str(seed) for seed in row.seeds if seed is not None)
                    common = _common(summary, row.label, "measured", column)
                    rows.append({**common, **_measured(cell), "seeds": seeds})
        for published_row in summary.published if published else ():
            for column in summary.columns:
                if column.name in published_row.figures:
                    common = _common(summary, published_row.label, f"published: {published_row.source}", column)
                    reason = published_row.incomparable.get(column.name, "")
                    rows.append(
                        {**common, "mean": published_row.figures[column.name], "not_comparable_because": reason}
                    )
    return _csv(CSV_FIELDS, rows)


def difficulty_csv(result: Result) -> str:
    """Every score over groups of pictures of about the same difficulty, for every measure of difficulty."""
    rows: list[dict[str, object]] = []
    for measure in MEASURES:
        scores, found = by_difficulty(result, measure)
        rows += [
            {
                "benchmark": result.document["run"]["benchmark"]["name"],
                "method": result.method,
                "measure": measure,
                "low": group.low,
                "high": group.high,
                "pictures": len(group.keys),
                "column": score.column.name,
                "title": score.column.title,
                "value": group_score(score, group),
            }
            for group in found
            for score in scores
        ]
    return _csv(DIFFICULTY_FIELDS, rows)


def latex_text(summaries: Sequence[Summary], *, published: bool = False) -> str:
    """A `tabular` for every benchmark, to be used with the package booktabs. The best of several methods is bold."""
    return "\n".join(_tabular(summary, published=published) for summary in summaries)


def summary_headers(summary: Summary) -> list[str]:
    return ["method", "runs", *(column_title(column) for column in summary.columns)]


def summary_rows(summary: Summary, *, published: bool = False) -> list[list[str]]:
    """Numbers as text: the mean, and the deviation where there are several runs."""
    rows = [
        [row.label, str(len(row.results)), *(cell_text(row.cells[column.name]) for column in summary.columns)]
        for row in summary.rows
    ]
    for each in summary.published if published else ():
        figures = [number_text(each.figures.get(column.name)) for column in summary.columns]
        rows.append([f"{each.label} (published)", "", *figures])
    return rows


def summary_table(summary: Summary, *, published: bool = False) -> list[str]:
    """The table for a terminal: its title, then aligned lines."""
    lines = [summary_headers(summary), *summary_rows(summary, published=published)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return [
        summary.title,
        *("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines),
    ]


def cell_text(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    return number_text(cell.mean) + ("" if cell.deviation is None else f" ± {number_text(cell.deviation)}")


def _tabular(summary: Summary, *, published: bool) -> str:
    columns = summary.columns
    lines = [
        f"% {_comment(summary.title)}: mean and sample standard deviation over runs; the best of several in bold.",
        *(
            f"% {_comment(row.label)}: {_runs(len(row.results), row.seeds)}, {_comment(_judges(row.cells))}"
            for row in summary.rows
        ),
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(["Method", *map(_latex_title, columns)]) + r" \\",
        r"\midrule",
    ]
    for row in summary.rows:
        cells = [_latex_cell(row.cells[column.name], summary.best(column)) for column in columns]
        lines.append(" & ".join([latex_escaped(row.label), *cells]) + r" \\")
    if published and summary.published:
        lines += [r"\midrule", rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\emph{{Published, not measured here}}}} \\"]
        for each in summary.published:
            figures = [number_text(each.figures.get(column.name)) or "--" for column in columns]
            lines.append(" & ".join([latex_escaped(each.label), *figures]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if published and summary.published:
        lines += [f"% published: {_comment(summary.published[0].source)}"]
        lines += [
            f"% {_comment(column.title)}: not comparable, {_comment(summary.published[0].incomparable[column.name])}"
            for column in columns
            if column.name in summary.published[0].incomparable
        ]
    return "\n".join(lines) + "\n"


def latex_escaped(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)


def _latex_title(column: Column) -> str:
    arrow = "uparrow" if column.higher_is_better else "downarrow"
    if column.target is not None:
        arrow = f"rightarrow {column.target:g}"
    return rf"{latex_escaped(column.title)} $\{arrow}$"


def _latex_cell(cell: Cell | None, best: float | None) -> str:
    if cell is None:
        return "--"
    mean = number_text(cell.mean)
    if best is not None and mean == number_text(best):
        mean = rf"\textbf{{{mean}}}"
    return mean if cell.deviation is None else rf"{mean} $\pm$ {number_text(cell.deviation)}"


def _runs(number: int, seeds: Sequence[int | None]) -> str:
    named = ", ".join(str(seed) for seed in seeds if seed is not None)
    runs = "1 run" if number == 1 else f"{number} runs"
    return f"{runs} (seed {named})" if named else runs


def _judges(cells: object) -> str:
    assert isinstance(cells, dict)
    named = dict.fromkeys(cell.judge for cell in cells.values() if cell is not None and cell.judge)
    pictures = sorted({cell.num_images for cell in cells.values() if cell is not None})
    counted = f"{pictures[0]} to {pictures[-1]}" if len(pictures) > 1 else "".join(map(str, pictures))
    return f"{counted} pictures, judged by {'; '.join(named)}" if named else "nothing judged"


def _comment(text: str) -> str:
    """Text in a LaTeX comment, which ends with its line."""
    return " ".join(text.split())


def _common(summary: Summary, method: str, source: str, column: Column) -> dict[str, object]:
    return {
        "benchmark": summary.name,
        "method": method,
        "source": source,
        "column": column.name,
        "title": column.title,
        "higher_is_better": column.higher_is_better,
    }


def _measured(cell: Cell) -> dict[str, object]:
    return {
        "mean": cell.mean,
        "deviation": cell.deviation,
        "runs": cell.num_runs,
        "low": cell.low,
        "high": cell.high,
        "pictures": cell.num_images,
        "judge": cell.judge,
    }


def _csv(fields: Sequence[str], rows: Sequence[dict[str, object]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fields, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _safe(value: object) -> object:
    """A text that spreadsheets would take for a formula is quoted; None is an empty field."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value
