"""An application that is created late: importing gradio takes seconds, and the first picture should not wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

LOOKS_EVERY = 0.5
"""Seconds between two checks whether the server is idle."""


class LazyApplication:
    """Created on the first request, or when the server is idle; requests wait for it."""

    def __init__(self, make: Callable[[], FastAPI], has_time: Callable[[], bool]) -> None:
        self._make = make
        self._has_time = has_time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._wanted.set()
        application = await asyncio.shield(self._making)
        if application is not None:
            await self._open.wait()
            await application(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Lifespan: requests are accepted inside this context."""
        self._wanted, self._open, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._making = asyncio.create_task(self._made_when_wanted())
        running = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._ended.set()
            self._wanted.set()
            await running

    async def _made_when_wanted(self) -> FastAPI | None:
        while not self._wanted.is_set() and not self._has_time():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), LOOKS_EVERY)
        return None if self._ended.is_set() else await asyncio.to_thread(self._make)

    async def _run(self) -> None:
        """Run the application's lifespan in a single task, as anyio requires."""
        application = await self._making
        if application is not None:
            async with application.router.lifespan_context(application):
                self._open.set()
                await self._ended.wait()
