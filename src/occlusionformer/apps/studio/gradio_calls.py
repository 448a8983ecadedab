"""The same jobs through gradio's own protocol, for its client; of gradio's paths only those that the client needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import unquote

import gradio
from fastapi import FastAPI

from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.events import follow
from occlusionformer.apps.studio.gradio_forward import CLIENT_HEADER, OWNER_HEADER
from occlusionformer.apps.studio.handlers import Handlers
from occlusionformer.apps.studio.job import Job
from occlusionformer.apps.studio.responses import result_json, state_json
from occlusionformer.apps.studio.shares import Concurrency

MOST_WAITING = 256
"""Calls in gradio's queue; those that draw then wait in ours, which has its own bound."""

MOST_RUNNING, MOST_OF_ONE = 40, 10
"""Calls that run, of all and of one client; gradio itself runs forty."""


class Calls:
    """What the client can call, under the names of the methods."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._running = Concurrency(MOST_RUNNING, MOST_OF_ONE)

    def _one_more(self, request: gradio.Request) -> AbstractContextManager[None]:
        return self._running.one_more(_client(request))

    async def generate(self, job: dict, request: gradio.Request) -> AsyncIterator[Any]:
        """States of the job as it goes on, then its result. A call that is cancelled or left stops the job."""
        try:
            with self._one_more(request):
                started = self._handlers.start(job, _owner(request), _client(request))
                async for each in self._followed(started):
                    yield each
        except ApiError as refusal:
            raise _error(refusal) from None

    async def _followed(self, started: Job) -> AsyncIterator[Any]:
        queue = self._handlers.queue
        try:
            async for state in follow(queue, started, grace=self._handlers.grace):
                if state is not None:
                    yield state_json(queue, started)
        finally:
            queue.cancel(started)
        if started.result is not None:
            yield result_json(queue, started, self._handlers.root_path)

    async def validate(self, layout: dict, request: gradio.Request) -> Any:
        """Whether a layout is right, and what follows from its order."""
        try:
            with self._one_more(request):
                return await self._handlers.validated({"layout": layout}, _client(request))
        except ApiError as refusal:
            raise _error(refusal) from None

    async def convert(self, body: dict, request: gradio.Request) -> Any:
        """A layout document in another format; the body is that of POST /api/convert."""
        try:
            with self._one_more(request):
                return await self._handlers.converted(body, _client(request))
        except ApiError as refusal:
            raise _error(refusal) from None

    async def models(self) -> Any:
        """Models and limits."""
        return self._handlers.models_json()

    async def cancel(self, job: str, request: gradio.Request) -> Any:
        """Stop a job by its id."""
        queue = self._handlers.queue
        try:
            found = queue.find(job, _owner(request))
        except ApiError as refusal:
            raise _error(refusal) from None
        queue.cancel(found)
        return state_json(queue, found)


def gradio_app(handlers: Handlers, root_path: str) -> FastAPI:
    """An application with gradio's paths; its lifespan starts and stops gradio's queue."""
    calls = Calls(handlers)
    with gradio.Blocks(mode="server", analytics_enabled=False) as blocks:
        for function in (calls.generate, calls.validate, calls.convert, calls.models, calls.cancel):
            gradio.api(function, api_name=function.__name__, concurrency_limit=None)
    blocks.queue(max_size=MOST_WAITING)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    return gradio.mount_gradio_app(
        app, blocks, path="/", root_path=root_path, run_history=False, footer_links=[], ssr_mode=False
    )


def _owner(request: gradio.Request) -> str:
    return unquote(request.headers.get(OWNER_HEADER, ""))


def _client(request: gradio.Request) -> str:
    return unquote(request.headers.get(CLIENT_HEADER, ""))


def _error(refusal: ApiError) -> gradio.Error:
    return gradio.Error(str(refusal), print_exception=False)
