"""The commands `bench ...`: how well a model does what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import INTERRUPTED, CommandOutput, RefusedError, ending
from occlusionformer.apps.cli.draw_request import DEFAULT_MODEL
from occlusionformer.apps.cli.progress import counting_progress
from occlusionformer.apps.weights import weights_digest
from occlusionformer.layout import write_atomic

if TYPE_CHECKING:
    from occlusionformer.evaluation.scenes.measuring import MeasuredModel, Results, Wishes

bench = typer.Typer(name="bench", help="Measure a model.", no_args_is_help=True)


@bench.callback()
def _group() -> None:
    """Measure a model."""


@bench.command()
def scenes(  # noqa: PLR0913 - a parameter for every option
    model: options.ModelOption = None,
    split: Annotated[
        str, typer.Option(help="Which layouts: some of simple, regular, complex, with commas between.")
    ] = "simple,regular,complex",
    limit: Annotated[
        int, typer.Option(min=1, max=200, help="Layouts of every split, and pairs of the order control.")
    ] = 200,
    steps: options.StepsOption = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16, max=4096, help="Side of the pictures in pixels. [default: that of the layouts]", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for results.json, report.html and pictures; a stopped run goes on there.")
    ] = Path("bench-scenes"),
    order_control: Annotated[
        bool, typer.Option("--order-control", help="Also swap one pair of every layout, with the same noise.")
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also wrong, looping and missing orders, moved boxes, canvases, crowds."),
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also judge known pictures, instead of showing the shipped calibration.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(min=1, max=64, help="Processes that judge pictures; the results are the same with any number."),
    ] = 1,
    as_json: options.JsonOption = False,
) -> None:
    """Draw fixed layouts of known objects and judge them with a judge that knows what the objects look like."""
    with ending(as_json) as outcome:
        from occlusionformer.evaluation.scenes.measuring import MeasuredModel, Wishes
        from occlusionformer.generation import check_generator

        if out.exists() and not out.is_dir():
            raise RefusedError([f"out: expected a folder, got the file {out}"])
        wishes = Wishes(
            splits=tuple(dict.fromkeys(part.strip() for part in split.split(","))),  # type: ignore[misc]
            limit=limit,
            calibrate=calibrate,
            control=order_control,
            robustness=robustness,
        )
        name = DEFAULT_MODEL if model is None else model
        check_generator(name)
        measured = MeasuredModel(name=name, weights=weights_digest(name), steps=steps, size=size)
        results = _measure(outcome, measured, wishes, out, workers)
        _write(results, out)
        _tell(outcome, results, out)


def _measure(outcome: CommandOutput, model: MeasuredModel, wishes: Wishes, folder: Path, workers: int) -> Results:
    from occlusionformer.evaluation.scenes.measuring import run_benchmark

    try:
        with counting_progress() as progress:
            return run_benchmark(model, wishes, folder, progress=progress, workers=workers)
    except KeyboardInterrupt:
        outcome.failure(f"interrupted: what was done is kept in {folder}; the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None


def _write(results: Results, folder: Path) -> None:
    from occlusionformer.evaluation.scenes.report import report
    from occlusionformer.evaluation.scenes.results import REPORT, write_results

    write_results(results, folder)
    write_atomic(folder / REPORT, report(results))


def _tell(outcome: CommandOutput, results: Results, folder: Path) -> None:
    from occlusionformer.evaluation.scenes.report import (
        calibration_note,
        calibration_rows,
        robustness_table,
        rows_of,
        short,
    )
    from occlusionformer.evaluation.scenes.results import REPORT, RESULTS, results_as_json

    value: dict[str, Any] = results_as_json(results, folder)
    for split in value["splits"].values():
        del split["pictures"]
    lines = _columns(rows_of(results))
    if results.control is not None:
        del value["order_control"]["swaps"]
        found = value["order_control"].items()
        lines += ["", "order control: " + ", ".join(f"{name} {short(number)}" for name, number in found)]
    if results.robustness is not None:
        lines += ["", *_columns(robustness_table(results.robustness))]
    if results.calibration is not None:
        lines += [
            "",
            calibration_note(results.calibration),
            *_columns(calibration_rows(results.calibration)),
        ]
    value["files"] = [str(folder / RESULTS), str(folder / REPORT)]
    outcome.result(value, [*lines, "", *value["files"]])


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text with their columns in line."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
