"""The command `study`: methods compared at equal budget, from a plan to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import INTERRUPTED, ending


def study(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan in TOML: cells, budget, seeds, benchmarks.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the study, shared by all who work on it. [default: PLAN's name in studies/]",
            show_default=False,
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the plan, list its parts and stop.")] = False,
    table: Annotated[bool, typer.Option("--table", help="Write the results of what is done so far and stop.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Train, draw, judge and compare layout methods at equal budget; whatever is missing in the folder is done.

    A study that was stopped, by whatever, goes on where it was. Several processes, also on several machines, may work
    on one folder at the same time.
    """
    with ending(as_json) as outcome:
        from occlusionformer.study.folder import COSTS, PAGE, RESULT, TABLE, StudyFolder
        from occlusionformer.study.page import markdown, write_pages
        from occlusionformer.study.plan import read_plan
        from occlusionformer.study.result import StudyResult
        from occlusionformer.study.running import Study, StudyStoppedError

        read = read_plan(plan)
        folder = StudyFolder(Path("studies") / plan.stem if out is None else out)
        work = Study(read, folder, outcome.note)
        if check:
            parts = {part.name: part.is_done() for part in work.parts()}
            outcome.result(parts, [f"{name}{'  done' if done else ''}" for name, done in parts.items()])
            return
        if table:
            folder.start(read)
        else:
            try:
                work.run()
            except (KeyboardInterrupt, StudyStoppedError):
                outcome.failure(
                    f"interrupted: what was done is kept in {folder.path}; the same command goes on from there"
                )
                raise typer.Exit(INTERRUPTED) from None
        result = StudyResult(read, folder)
        result.write()
        write_pages(result)
        files = [str(folder.path / name) for name in (RESULT, COSTS, PAGE, TABLE)]
        outcome.result({**result.as_json(), "files": files}, [*markdown(result).splitlines(), *files])
