"""An application that is made while the server is up already: gradio takes seconds to import."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send


class LateApplication:
    """Made as soon as it is asked for, or `ready_for_it` returns, whichever is first."""

    def __init__(self, make: Callable[[], FastAPI], ready_for_it: Callable[[], object]) -> None:
        self._make = make
        self._ready_for_it = ready_for_it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self._wanted.set()
        application = await asyncio.shield(self._making)
        if application is not None:
            await self._open.wait()
            await application(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self._open = asyncio.Event()
        self._making = asyncio.create_task(self._made_when_wanted())
        waiting = asyncio.create_task(self._wait())
        running = asyncio.create_task(self._run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._ended.set()
        self._wanted.set()
        await asyncio.gather(waiting, running)
        await send({"type": "lifespan.shutdown.complete"})

    async def _wait(self) -> None:
        await asyncio.to_thread(self._ready_for_it)
        self._wanted.set()

    async def _made_when_wanted(self) -> FastAPI | None:
        await self._wanted.wait()
        return None if self._ended.is_set() else await asyncio.to_thread(self._make)

    async def _run(self) -> None:
        """The lifespan of the application, in one task from its beginning to its end."""
        application = await self._making
        if application is not None:
            async with application.router.lifespan_context(application):
                self._open.set()
                await self._ended.wait()
