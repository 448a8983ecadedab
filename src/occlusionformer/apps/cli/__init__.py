"""The command `occlusionformer`. Starting it loads no torch; only the commands that draw do."""

from __future__ import annotations

import atexit
import functools
import gc
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
import typer.main

from occlusionformer.apps.cli.bench import bench
from occlusionformer.apps.cli.card import inspect
from occlusionformer.apps.cli.console import BAD_INPUT
from occlusionformer.apps.cli.data import data
from occlusionformer.apps.cli.data_build import build
from occlusionformer.apps.cli.documents import convert, schema, validate
from occlusionformer.apps.cli.eval import evaluation
from occlusionformer.apps.cli.eval_tables import compare, grid, table
from occlusionformer.apps.cli.generate import generate
from occlusionformer.apps.cli.orders import orders
from occlusionformer.apps.cli.publish import publish
from occlusionformer.apps.cli.studio import studio
from occlusionformer.apps.cli.study import study
from occlusionformer.apps.cli.train import train
from occlusionformer.apps.cli.vocabulary import vocabulary

__all__ = ["app", "main"]

USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""The error for a wrong command line: click's UsageError, which typer does not export."""

QUIET_LIBRARIES = {"DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
"""Settings that silence the warnings and progress bars of libraries."""

YIELDING_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Waiting threads sleep. If they spin, a second busy program makes drawing four to ten times slower."""

app = typer.Typer(
    name="occlusionformer",
    help="Declare who is in front, get it in the picture.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (generate, orders, validate, convert, inspect, schema, vocabulary, train, study, publish, studio):
    app.command()(command)
app.add_typer(bench)
data.command()(build)
app.add_typer(data)
evaluation.command()(compare)
evaluation.command()(table)
evaluation.command()(grid)
app.add_typer(evaluation)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 bad input, 1 other failure, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for name, value in {**QUIET_LIBRARIES, **YIELDING_THREADS}.items():
        os.environ.setdefault(name, value)
    _end_quickly()
    logging.getLogger("occlusionformer").addHandler(logging.NullHandler())  # commands show warnings themselves
    try:
        code = _commands()(arguments, prog_name="occlusionformer", standalone_mode=False)
    except USAGE_ERROR as error:
        code = _usage_problem(error, as_json="--json" in arguments)
    sys.exit(code if isinstance(code, int) else 0)


@functools.cache
def _end_quickly() -> None:
    """Python looks through everything for garbage when it ends: a third of a second, for what the system takes back."""
    atexit.register(gc.freeze)


@functools.cache
def _commands() -> Any:
    """All commands with their options: reading them takes 30 ms, more than many a command itself."""
    return typer.main.get_command(app)


def _usage_problem(error: Exception, *, as_json: bool) -> int:
    if as_json:
        typer.echo(json.dumps({"problems": [error.format_message()]}))  # type: ignore[attr-defined]
    else:
        error.show()  # type: ignore[attr-defined]
    return BAD_INPUT
