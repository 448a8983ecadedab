"""An application that is made when it is first asked for: gradio takes seconds to import, and most never need it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send


class LateApplication:
    """The first request waits until it is made; the server answers others meanwhile."""

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make

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
        self._wanted, self._open, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._making = asyncio.create_task(self._made_when_wanted())
        running = asyncio.create_task(self._run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._ended.set()
        self._wanted.set()
        await running
        await send({"type": "lifespan.shutdown.complete"})

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
