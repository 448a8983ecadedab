"""The same jobs through gradio's own protocol, for its client; of gradio's paths only those that the client needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any
from urllib.parse import unquote

import gradio
from fastapi import FastAPI

from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.events import follow
from occlusionformer.apps.studio.gradio_forward import OWNER_HEADER
from occlusionformer.apps.studio.handlers import Handlers
from occlusionformer.apps.studio.responses import result_json, state_json

MOST_WAITING = 256
"""Calls in gradio's queue; those that draw then wait in ours, which has its own bound."""


class Calls:
    """What the client can call, under the names of the methods."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def generate(self, job: dict, request: gradio.Request) -> AsyncIterator[Any]:
        """States of the job as it goes on, then its result. A call that is cancelled or left stops the job."""
        queue = self._handlers.queue
        try:
            started = self._handlers.start(job, _owner(request))
        except ApiError as refusal:
            raise _error(refusal) from None
        try:
            async for state in follow(queue, started, grace=self._handlers.grace):
                if state is not None:
                    yield state_json(queue, started)
        finally:
            queue.cancel(started)
        if started.result is not None:
            yield result_json(queue, started)

    async def validate(self, layout: dict) -> Any:
        """Whether a layout is right, and what follows from its order."""
        return await _told(self._handlers.validated({"layout": layout}))

    async def convert(self, body: dict) -> Any:
        """A layout document in another format; the body is that of POST /api/convert."""
        return await _told(self._handlers.converted(body))

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


def gradio_app(handlers: Handlers) -> FastAPI:
    """An application with gradio's paths; its lifespan starts and stops gradio's queue."""
    calls = Calls(handlers)
    with gradio.Blocks(mode="server", analytics_enabled=False) as blocks:
        for function in (calls.generate, calls.validate, calls.convert, calls.models, calls.cancel):
            gradio.api(function, api_name=function.__name__, concurrency_limit=None)
    blocks.queue(max_size=MOST_WAITING)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    return gradio.mount_gradio_app(app, blocks, path="/", run_history=False, footer_links=[], ssr_mode=False)


def _owner(request: gradio.Request) -> str:
    return unquote(request.headers.get(OWNER_HEADER, ""))


async def _told(answer: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        return await answer
    except ApiError as refusal:
        raise _error(refusal) from None


def _error(refusal: ApiError) -> gradio.Error:
    return gradio.Error(str(refusal), print_exception=False)
