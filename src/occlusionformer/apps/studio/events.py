"""The states of a job as they change: for code in this process, and as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from occlusionformer.apps.studio.job import Job, JobState
from occlusionformer.apps.studio.job_queue import JobQueue
from occlusionformer.apps.studio.service import Service

KEEP_ALIVE_SECONDS = 10.0


async def follow(queue: JobQueue, job: Job, *, grace: float) -> AsyncGenerator[JobState | None, None]:
    """Yield the current state and every later one until the job has ended; None when nothing changed for a while.

    Changes that follow one another faster than they are taken are merged. A job that is left by all is cancelled
    after `grace` seconds, unless it was to be kept.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    listener = _waking(loop, changed)
    queue.listen(job, listener)
    try:
        while True:
            changed.clear()
            state = job.state
            yield state
            if state.ended:
                return
            while not changed.is_set():
                try:
                    await asyncio.wait_for(changed.wait(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield None
    finally:
        if queue.leave(job, listener) == 0 and not job.state.ended and not _kept(job):
            loop.call_later(grace, _cancel_if_left, queue, job)


def _waking(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(changed.set)

    return wake


def _kept(job: Job) -> bool:
    return job.request is not None and job.request.keep


def _cancel_if_left(queue: JobQueue, job: Job) -> None:
    if not job.listeners:
        queue.cancel(job)


async def server_sent_events(service: Service, job: Job) -> AsyncIterator[bytes]:
    """The event stream of a job, as encoded text."""
    told: dict[str, Any] = {}
    async with contextlib.aclosing(follow(service.queue, job, grace=service.grace)) as states:
        async for state in states:
            if state is None:
                yield b": still here\n\n"
                continue
            for name, value in _events_of(service, job, state):
                if told.get(name) != value:
                    told[name] = value
                    yield f"event: {name}\ndata: {json.dumps(value, allow_nan=False)}\n\n".encode()


def _events_of(service: Service, job: Job, state: JobState) -> list[tuple[str, dict[str, Any]]]:
    described = service.state(job)

    def told(*names: str) -> dict[str, Any]:
        return {name: described[name] for name in ("job", *names)}

    if state.status == "queued":
        return [("queued", told("position", "waiting_seconds"))]
    if state.status == "done":
        return [("done", service.result(job))]
    if state.status == "failed":
        return [("failed", told("problems"))]
    if state.status == "cancelled":
        return [("cancelled", told("step", "total"))]
    preview = [] if state.preview is None else [("preview", {"job": job.id, **state.preview.as_json()})]
    return [*preview, ("progress", told("step", "total", "seconds_left"))]
