"""The commands `eval compare`, `eval table` and `eval grid`: results that are there already, side by side."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import RefusedError, ending
from occlusionformer.apps.cli.output_files import folder_problems

ResultArgument = Annotated[
    Path, typer.Argument(metavar="RESULT", help="A result.json, or the folder it is in.", show_default=False)
]
ResultsArgument = Annotated[
    list[Path], typer.Argument(metavar="RESULT...", help="Folders of runs, or their result.json.", show_default=False)
]
PageOption = Annotated[Path | None, typer.Option(help="Also write a report with pictures side by side (HTML).")]


def compare(
    first: ResultArgument, second: ResultArgument, out: PageOption = None, as_json: options.JsonOption = False
) -> None:
    """Tell two results apart on the pictures both have: the first minus the second, and how sure that is."""
    with ending(as_json) as outcome:
        from occlusionformer.evaluation import compare_results, comparison_page, read_result
        from occlusionformer.evaluation.reports import labels, num_common
        from occlusionformer.layout import write_atomic

        if out is not None and (problems := folder_problems("out", out)):
            raise RefusedError(problems)
        results = (read_result(first), read_result(second))
        rows = compare_results(*results)
        if out is not None:
            write_atomic(out, comparison_page(*results, rows))
        names, common = labels(results), num_common(*results)
        value = {
            "first": names[0],
            "second": names[1],
            "pictures": common,
            "columns": [row.as_json() for row in rows],
            "report": None if out is None else str(out),
        }
        lines = [f"{names[0]} minus {names[1]}, {common} pictures in common", *(row.line() for row in rows)]
        outcome.result(value, lines if out is None else [*lines, str(out)])


def table(
    results: ResultsArgument,
    metrics: Annotated[
        str, typer.Option(metavar="COLUMN,...", help="Columns to show, such as miou,occ_f1. [default: the main ones]")
    ] = "",
    published: Annotated[
        bool, typer.Option("--published", help="Add the figures that others published, marked as such.")
    ] = False,
    latex: Annotated[Path | None, typer.Option(help="Also write a LaTeX tabular (package booktabs).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write a CSV file with a line for every number.")] = None,
    out: PageOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Put several runs in one table: a row for every method, with mean and deviation over its seeds."""
    with ending(as_json) as outcome:
        from occlusionformer.evaluation import read_result, summarise
        from occlusionformer.evaluation.reports import csv_text, latex_text, summary_page, summary_table
        from occlusionformer.layout import write_atomic

        targets = {"latex": latex, "csv": csv, "out": out}
        if problems := [p for name, path in targets.items() if path is not None for p in folder_problems(name, path)]:
            raise RefusedError(problems)
        columns = [each.strip() for each in metrics.split(",") if each.strip()]
        summaries = summarise([read_result(path) for path in results], columns=columns)
        texts = {
            "latex": lambda: latex_text(summaries, published=published),
            "csv": lambda: csv_text(summaries, published=published),
            "out": lambda: summary_page(summaries, published=published),
        }
        written = {name: (path, texts[name]()) for name, path in targets.items() if path is not None}
        for path, content in written.values():
            write_atomic(path, content)
        lines = [line for summary in summaries for line in summary_table(summary, published=published)]
        files = {name: str(path) for name, (path, _) in written.items()}
        value = {"tables": [_as_json(summary) for summary in summaries], "files": files}
        outcome.result(value, [*lines, *files.values()])


def grid(
    results: ResultsArgument,
    out: Annotated[Path, typer.Option(help="The PNG to write.", show_default=False)],
    items: Annotated[str, typer.Option(metavar="KEY,...", help="Which layouts. [default: spread over all]")] = "",
    number: Annotated[int, typer.Option(help="How many layouts, where none are named.")] = 6,
    side: Annotated[int, typer.Option(help="Longer side of every picture in pixels.")] = 256,
    boxes: Annotated[bool, typer.Option("--boxes", help="Draw the boxes of the layout on every picture.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Put pictures of several runs side by side in one PNG, a row for every layout, the reference first."""
    with ending(as_json) as outcome:
        from occlusionformer.evaluation import read_result
        from occlusionformer.evaluation.reports import chosen_items, common_items, picture_grid
        from occlusionformer.layout import write_atomic

        if problems := folder_problems("out", out):
            raise RefusedError(problems)
        found = [read_result(path) for path in results]
        keys = [each.strip() for each in items.split(",") if each.strip()]
        chosen = chosen_items(common_items(found), keys, number)
        encoded = io.BytesIO()
        picture_grid(found, chosen, side=side, boxes=boxes).save(encoded, format="PNG")
        write_atomic(out, encoded.getvalue())
        value = {"output": str(out), "items": [item.key for item in chosen]}
        outcome.result(value, [f"{out} ({', '.join(item.key for item in chosen)})"])


def _as_json(summary: Any) -> dict[str, Any]:
    return {
        "benchmark": summary.name,
        "rows": [
            {
                "method": row.label,
                "runs": len(row.results),
                "seeds": list(row.seeds),
                "cells": {name: None if cell is None else vars(cell) for name, cell in row.cells.items()},
            }
            for row in summary.rows
        ],
        "published": [
            {
                "method": row.label,
                "source": row.source,
                "figures": dict(row.figures),
                "not_comparable_because": dict(row.incomparable),
            }
            for row in summary.published
        ],
    }
