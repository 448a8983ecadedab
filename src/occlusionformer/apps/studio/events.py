"""How a job stands, told as it changes: states for programs in this process, server-sent events for others."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from occlusionformer.apps.studio.job import Job, Standing
from occlusionformer.apps.studio.line import Line
from occlusionformer.apps.studio.words import result_json, state_json

KEEP_ALIVE_SECONDS = 10.0


async def follow(line: Line, job: Job, *, grace: float) -> AsyncIterator[Standing | None]:
    """The standing now and after every change, the last one ended; None where nothing has happened for a while.

    Changes that follow one another faster than they are taken are merged. A job that is left by all is cancelled
    after `grace` seconds, unless it was to be kept.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    listener = _waking(loop, changed)
    line.listen(job, listener)
    try:
        while True:
            changed.clear()
            standing = job.standing
            yield standing
            if standing.ended:
                return
            while not changed.is_set():
                try:
                    await asyncio.wait_for(changed.wait(), KEEP_ALIVE_SECONDS)
                except asyncio.TimeoutError:
                    yield None
    finally:
        if line.leave(job, listener) == 0 and not job.standing.ended and not _kept(job):
            loop.call_later(grace, _cancel_if_left, line, job)


def _waking(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(changed.set)

    return wake


def _kept(job: Job) -> bool:
    return job.wish is not None and job.wish.keep


def _cancel_if_left(line: Line, job: Job) -> None:
    if not job.listeners:
        line.cancel(job)


async def server_sent_events(line: Line, job: Job, *, grace: float) -> AsyncIterator[bytes]:
    """The text of an event stream; ends with the job."""
    told: dict[str, Any] = {}
    async for standing in follow(line, job, grace=grace):
        if standing is None:
            yield b": still here\n\n"
            continue
        for name, value in _events_of(line, job, standing):
            if told.get(name) != value:
                told[name] = value
                yield f"event: {name}\ndata: {json.dumps(value, allow_nan=False)}\n\n".encode()


def _events_of(line: Line, job: Job, standing: Standing) -> list[tuple[str, dict[str, Any]]]:
    state = state_json(line, job)

    def told(*names: str) -> dict[str, Any]:
        return {name: state[name] for name in ("job", *names)}

    if standing.status == "queued":
        return [("queued", told("position", "waiting_seconds"))]
    if standing.status == "done":
        return [("done", result_json(line, job))]
    if standing.status == "failed":
        return [("failed", told("problems"))]
    if standing.status == "cancelled":
        return [("cancelled", told("step", "total"))]
    preview = [] if standing.preview is None else [("preview", {"job": job.id, **standing.preview.as_json()})]
    return [*preview, ("progress", told("step", "total", "seconds_left"))]
