"""The command `data build`: pictures with masks in, a data set with captions, order and whole masks out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import INTERRUPTED, CommandOutput, RefusedError, ending

if TYPE_CHECKING:
    from occlusionformer.data.engine.building import Build, Executor, OnShard, Pace
    from occlusionformer.data.engine.estimate import Amount, StageEstimate
    from occlusionformer.data.engine.plan import BuildPlan

EXECUTORS = ("local", "ray")


def build(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN", help="What to build: a YAML or JSON file.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the data set; a rerun does what is missing. [default: runs/PLAN]")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="local: in this process. ray: on a cluster, or on this machine.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="For ray: the cluster. [default: one on this machine]", show_default=False)
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Build nothing; say what it will cost, stage by stage.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Build a data set: caption, order and complete every instance, clean, filter, count."""
    with ending(as_json) as outcome:
        from occlusionformer.data.engine.plan import read_plan

        if executor not in EXECUTORS:
            raise RefusedError([f"executor: expected {' or '.join(EXECUTORS)}, got {executor!r}"])
        wanted = read_plan(plan)
        if estimate:
            _tell_estimate(outcome, wanted, plan.parent)
            return
        from occlusionformer.data.engine.building import build as build_data
        from occlusionformer.data.records import write_descriptions

        target = out or Path("runs") / plan.stem
        with _kept_when_interrupted(outcome), _progress() as on_shard:
            done = build_data(
                wanted, base=plan.parent, out=target, executor=_executor(executor, address), on_shard=on_shard
            )
        if done.manifest["totals"].get("records"):
            write_descriptions(target)
        _tell(outcome, target, done)


def _executor(name: str, address: str | None) -> Executor:
    if name == "ray":
        from occlusionformer.data.engine.cluster import RayExecutor

        return RayExecutor(address=address)
    from occlusionformer.data.engine.local import LocalExecutor

    return LocalExecutor()


def _tell(outcome: CommandOutput, target: Path, done: Build) -> None:
    totals, pace = done.manifest["totals"], done.pace
    value = {
        "output": str(target),
        "data_set": done.manifest["data_set"],
        "totals": totals,
        "shards": len(done.manifest["shards"]),
        "shards_skipped": done.skipped,
        "seconds": round(pace.seconds, 3),
        "pictures_per_second": round(pace.per_second, 3),
    }
    lines = [
        f"{target} ({totals.get('records', 0)} records in {len(done.manifest['shards'])} shards, {done.skipped} of "
        f"them there before; {pace.done} pictures in {pace.seconds:.0f} s)",
        *(f"  {number:>9,}  {name}" for name, number in totals.items()),
        f"data set {done.manifest['data_set']}",
    ]
    if totals.get("broken"):
        lines.append(f"broken pictures are listed, with reasons, in {target / 'engine' / 'dead'}")
    outcome.result(value, lines)


def _tell_estimate(outcome: CommandOutput, plan: BuildPlan, base: Path) -> None:
    from occlusionformer.data.engine.estimate import amount_of, estimate, totals
    from occlusionformer.data.engine.sources import make_source

    source = None if plan.expected is not None else make_source(plan.source, base)
    amount = amount_of(plan, source)
    lines = estimate(plan, amount)
    total = totals(lines)
    value = {"amount": asdict(amount), "stages": [asdict(line) for line in lines], "totals": total}
    outcome.result(value, list(_estimate_lines(amount, lines, total)))


def _estimate_lines(amount: Amount, lines: Sequence[StageEstimate], total: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{amount.pictures:,} pictures, {amount.instances:,} instances, {amount.pairs:,} pairs that meet, "
        f"{amount.occluded:,} occluded instances ({amount.basis})"
    )
    for line in lines:
        name = f"{line.stage} by {line.model}" if line.model else line.stage
        hours = "unknown" if line.hours is None else f"{line.hours:,.1f} {line.device}"
        stored = f", {line.gigabytes:,.1f} GB" if line.gigabytes else ""
        yield f"{name}: {hours}{stored}, {line.units:,} {line.unit}, {line.shards:,} shards"
        yield f"    {line.basis}: {line.source}"
    summed = ", ".join(f"{hours:,.0f} {device}" for device, hours in total["hours"].items())
    yield f"in all: {summed}; {total['gigabytes']:,.0f} GB"
    if total["unknown"]:
        yield f"not counted: {', '.join(total['unknown'])}"


@contextmanager
def _kept_when_interrupted(outcome: CommandOutput) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        outcome.failure("interrupted: finished shards are kept, the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _progress() -> Iterator[OnShard]:
    """A bar with speed and time left, on terminals."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("building", total=None, pace="")

        def on_shard(pace: Pace) -> None:
            left = "" if pace.seconds_left is None else f", {pace.seconds_left:.0f} s left"
            text = f"{pace.per_second:.2f} pictures/s{left}, {pace.broken} broken"
            progress.update(task, completed=pace.done, total=pace.total, pace=text)

        yield on_shard
