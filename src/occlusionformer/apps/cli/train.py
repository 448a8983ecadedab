"""The command `train`: a recipe in, weights out."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import INTERRUPTED, CommandOutput, RefusedError, ending

if TYPE_CHECKING:
    from occlusionformer.training import CodecConfig, RunConfig
    from occlusionformer.training.codec import CodecTrainer
    from occlusionformer.training.trainer import Trainer

RUNS = Path("runs")


def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="The recipe's name; --list knows them.", show_default=False)
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting, as optimizer.lr=1e-4. May be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. [default: runs/RECIPE]", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in the folder, if there is one.")
    ] = False,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes and what to expect of each.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the resolved settings as JSON and stop.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Train a model. SIGTERM and Ctrl-C save a checkpoint and stop; `--resume` goes on exactly where it stood."""
    with ending(as_json) as outcome:
        if list_recipes:
            _list(outcome)
            return
        config = _config(recipe, assignments or [])
        if show:
            outcome.result(config.model_dump(mode="json"), [config.model_dump_json(indent=2)])
            return
        _run(outcome, config, RUNS / config.recipe if out is None else out, resume=resume)


def _config(name: str | None, assignments: list[str]) -> RunConfig | CodecConfig:
    from occlusionformer.training import RECIPES, override, recipe

    if name is None:
        raise RefusedError([f"RECIPE: expected one of {', '.join(RECIPES)}, got nothing"])
    return override(recipe(name), assignments)


def _list(outcome: CommandOutput) -> None:
    from occlusionformer.training import RECIPES

    about = {name: inspect.cleandoc(build.__doc__ or "") for name, build in RECIPES.items()}
    lines = [line for name, text in about.items() for line in (name, *(f"    {each}" for each in text.splitlines()))]
    outcome.result(about, lines)


def _run(outcome: CommandOutput, config: RunConfig | CodecConfig, folder: Path, *, resume: bool) -> None:
    trainer = _trainer(config, folder, resume=resume)
    if trainer.step:
        outcome.note(f"going on from step {trainer.step}")
    ended = trainer.run(lambda step, figures: outcome.note(_line(step, config.steps, figures)))
    value = {"out": str(folder), "step": ended.step, "steps": config.steps, "reason": ended.reason}
    if trainer.is_main_process:
        outcome.result(value, [f"{folder}: {ended.reason} at step {ended.step} of {config.steps}"])
    if ended.reason == "stopped":
        raise typer.Exit(INTERRUPTED)


def _trainer(config: RunConfig | CodecConfig, folder: Path, *, resume: bool) -> Trainer | CodecTrainer:
    from occlusionformer.training import RunConfig
    from occlusionformer.training.codec import CodecTrainer
    from occlusionformer.training.trainer import Trainer

    return (
        Trainer(config, folder, resume=resume)
        if isinstance(config, RunConfig)
        else CodecTrainer(config, folder, resume=resume)
    )


def _line(step: int, steps: int, figures: dict[str, float]) -> str:
    return f"{step}/{steps}  " + "  ".join(f"{name} {json.dumps(round(value, 5))}" for name, value in figures.items())
