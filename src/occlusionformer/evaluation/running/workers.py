"""A shard of a run divided among processes of this machine, and how far they are."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from occlusionformer.evaluation.running.folder import RunFolder, Shard
from occlusionformer.evaluation.running.plan import Plan, Progress

if TYPE_CHECKING:
    from occlusionformer.evaluation.running.runner import RunOptions

ShardRunner = Callable[[Plan, RunFolder, "RunOptions", Progress], None]


def run_in_processes(
    run: ShardRunner, plan: Plan, place: RunFolder, options: RunOptions, workers: int, progress: Progress
) -> None:
    """Divide a shard among processes. Raises RuntimeError when one of them fails, ValueError for a plan that cannot
    be sent to them."""
    try:
        pickle.dumps(plan)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            "workers: expected 1, since benchmark, method and judges cannot be sent to other processes"
        ) from error
    context = multiprocessing.get_context("spawn")
    started, heard = [], []
    for worker in range(workers):
        part = Shard(options.shard.part + worker * options.shard.parts, options.shard.parts * workers)
        own = replace(options, workers=1, shard=part)
        hears, tells = context.Pipe(duplex=False)
        heard.append(hears)
        started.append((context.Process(target=_work, args=(run, plan, place.path, own, tells)), tells))
    try:
        for process, tells in started:
            process.start()
            tells.close()
        _listen(heard, progress)
        for process, _ in started:
            process.join()
    finally:
        for process, _ in started:
            if process.is_alive():
                process.terminate()
    failed = [process.exitcode for process, _ in started if process.exitcode]
    if failed:
        raise RuntimeError(f"{len(failed)} of {workers} workers failed; what they did is kept")


def _listen(heard: list[Connection], progress: Progress) -> None:
    """Pass on what workers tell, added up over those that do the same, until all have ended."""
    counts: dict[str, dict[int, tuple[int, int]]] = {}
    listening = list(heard)
    while listening:
        ready = wait(listening)
        for worker in [each for each in listening if each in ready]:
            try:
                what, done, total = worker.recv()
            except EOFError:
                listening.remove(worker)
                continue
            known = counts.setdefault(what, {})
            known[heard.index(worker)] = (done, total)
            progress(what, sum(count for count, _ in known.values()), sum(whole for _, whole in known.values()))


def _work(run: ShardRunner, plan: Plan, path: Path, options: RunOptions, tells: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run(plan, RunFolder(path), options, lambda what, done, total: tells.send((what, done, total)))


def _end_with_parent() -> None:
    """Ends the worker with its parent: the folder may belong to another run by then."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
