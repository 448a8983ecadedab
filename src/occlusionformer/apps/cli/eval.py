"""The commands below `eval`: how good pictures are, which method's are better, and layouts to draw elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import INTERRUPTED, CommandOutput, RefusedError, ending
from occlusionformer.apps.cli.draw_request import DEFAULT_MODEL
from occlusionformer.apps.weights import weights_digest

if TYPE_CHECKING:
    from occlusionformer.evaluation import Result

RUN = "run"
FILES = {
    "result": "result.json",
    "table": "table.md",
    "csv": "table.csv",
    "latex": "table.tex",
    "difficulty": "difficulty.csv",
    "report": "report.html",
}
"""What a run leaves in its folder."""


class RunByDefault(TyperGroup):
    """`eval BENCHMARK` is `eval run BENCHMARK`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


evaluation = typer.Typer(
    name="eval",
    help="Draw the items of a benchmark, let judges look at the pictures, and score what they say.",
    cls=RunByDefault,
    no_args_is_help=True,
)

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.", show_default=False)]
DataOption = Annotated[Path | None, typer.Option(help="The folder with the benchmark's files.")]
UnreadableOption = Annotated[
    str, typer.Option(metavar="fail|skip", help="Rows that cannot be read: refuse all, or leave them out and say so.")
]


@evaluation.command(RUN)
def run(  # noqa: PLR0913 - a parameter for every option
    benchmark: Annotated[
        str, typer.Argument(metavar="BENCHMARK", help="A packaged benchmark, or a definition of your own (JSON).")
    ],
    data: DataOption = None,
    model: options.ModelOption = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Judge the pictures of this folder, named by item, instead of drawing.")
    ] = None,
    judges: Annotated[
        str, typer.Option(metavar="NAME[:ARGUMENT],...", help="Who judges; the first that can answers a question.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="The folder of the run. [default: runs/BENCHMARK-MODEL]")] = None,
    name: Annotated[str | None, typer.Option(help="What the method is called in tables.")] = None,
    seed: Annotated[
        int, typer.Option(help="Start of the random numbers; our own scenes add the number of the layout.")
    ] = 0,
    steps: options.StepsOption = None,
    guidance: options.GuidanceOption = None,
    grounding_ratio: options.GroundingRatioOption = None,
    strength: Annotated[float, typer.Option(help="Factor on what the layout adds.")] = 1.0,
    limit: Annotated[int | None, typer.Option(help="Take only the first items.")] = None,
    unreadable: UnreadableOption = "fail",
    workers: Annotated[int, typer.Option(help="Processes, each with a model and judges of its own.")] = 1,
    shard: Annotated[str, typer.Option(metavar="i/n", help="Only the i-th of n parts of the items.")] = "1/1",
    retry: Annotated[bool, typer.Option("--retry", help="Ask again where a judge gave nothing usable before.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Evaluate a model on a benchmark. Run the same command again to go on with what was stopped."""
    with ending(as_json) as outcome:
        from occlusionformer.evaluation import Drawing, Plan, RunOptions, evaluate

        if pictures is not None and model is not None:
            raise RefusedError(["model, pictures: expected one of them, got both"])
        method = pictures if pictures is not None else (DEFAULT_MODEL if model is None else model)
        plan = Plan(
            benchmark=benchmark,
            data=data,
            unreadable=_unreadable(unreadable),
            method=method,
            judges=tuple(each.strip() for each in judges.split(",") if each.strip()),
            drawing=Drawing(
                seed=seed, steps=steps, guidance=guidance, grounding_ratio=grounding_ratio, strength=strength
            ),
            limit=limit,
            name=name,
            weights=weights_digest(method) if isinstance(method, str) else None,
        )
        folder = _default_folder(benchmark, plan.method_name) if out is None else out
        options = RunOptions(workers=workers, shard=_shard(shard), retry=retry)
        try:
            result = evaluate(plan, folder, options=options, progress=_progress(outcome))
        except KeyboardInterrupt:
            outcome.failure(f"interrupted: what was done is kept in {folder}; the same command goes on there")
            raise typer.Exit(INTERRUPTED) from None
        _tell(outcome, result)


@evaluation.command()
def replay(folder: FolderArgument, as_json: options.JsonOption = False) -> None:
    """Compute result, table and report of a run again from what was recorded; no model and no data set is needed."""
    with ending(as_json) as outcome:
        from occlusionformer.evaluation import rescore

        _tell(outcome, rescore(folder))


@evaluation.command()
def layouts(  # noqa: PLR0913 - a parameter for every option
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK", help="A packaged benchmark, a definition of your own (JSON), or the folder of a run."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A new folder for the layouts and their index.", show_default=False)],
    data: DataOption = None,
    format: Annotated[str, typer.Option("--format", help=f"Format to write: {options.FORMAT_NAMES}.")] = "native",
    lossy: Annotated[bool, typer.Option("--lossy", help="Leave out what the format cannot hold.")] = False,
    limit: Annotated[int | None, typer.Option(help="Take only the first items.")] = None,
    unreadable: UnreadableOption = "fail",
    as_json: options.JsonOption = False,
) -> None:
    """Write the layouts of a benchmark for programs elsewhere; `eval run --pictures DIR` judges their pictures."""
    with ending(as_json) as outcome:
        from occlusionformer.evaluation import benchmark_of_run, export_layouts, load_benchmark

        if (Path(benchmark) / "run.json").is_file():
            loaded = benchmark_of_run(Path(benchmark))
        else:
            loaded = load_benchmark(benchmark, data, unreadable=_unreadable(unreadable))
        done = export_layouts(loaded, out, format=format, limit=limit, lossy=lossy)
        for note in loaded.notes:
            outcome.note(note)
        if loaded.conditions_on is not None:
            outcome.note("orders are judged on the references: name the folder of a run in place of the benchmark")
        value = {
            "folder": str(done.folder),
            "index": str(done.folder / "index.json"),
            "layouts": done.number,
            "ordered": done.num_ordered,
            "lost": list(done.lost),
        }
        lines = [f"{done.folder}: {done.number} layouts, {done.num_ordered} with an order"]
        outcome.result(value, [*lines, *(f"lost: {line}" for line in done.lost)])


def _unreadable(text: str) -> Any:
    if text not in ("fail", "skip"):
        raise RefusedError([f"unreadable: expected fail or skip, got {text!r}"])
    return text


def _shard(text: str) -> Any:
    from occlusionformer.evaluation import Shard

    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise RefusedError([f"shard: expected i/n with 1 <= i <= n, as in 2/8, got {text!r}"])
    return Shard(int(match[1]) - 1, int(match[2]))


def _default_folder(benchmark: str, method: str) -> Path:
    names = (Path(benchmark).stem, method)
    return Path("runs") / "-".join(re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") for name in names)


def _progress(outcome: CommandOutput) -> Any:
    """A line on stderr whenever something new begins, or a tenth of it is done."""
    told: dict[str, int] = {}

    def tell(what: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if told.get(what) != tenth:
            told[what] = tenth
            outcome.note(f"{what}: {done} of {total}" if total else what)

    return tell


def _tell(outcome: Any, result: Result) -> None:
    from occlusionformer.evaluation import items_text, table_rows

    rows = table_rows(result)
    shown = [["metric", "value", "95% interval", "pictures", "failed", "judge"], *rows]
    widths = [max(len(row[column]) for row in shown) for column in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in shown]
    notes = [f"{row[0]}: {row[6]}" for row in rows if row[6]]
    assert result.path is not None
    files = {name: str(result.path / file) for name, file in FILES.items()}
    value = {**files, "items": items_text(result), "scores": _scores(result)}
    outcome.result(value, [items_text(result), *lines, *dict.fromkeys(notes), *files.values()])


def _scores(result: Result) -> dict[str, Any]:
    return {
        score.column.name: {
            "value": score.value,
            "low": score.low,
            "high": score.high,
            "status": score.status,
            "num_images": score.num_images,
            "num_failed": score.num_failed,
        }
        for score in result.scores
    }
