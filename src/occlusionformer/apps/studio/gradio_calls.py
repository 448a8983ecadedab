"""The functions that gradio's client can call: the same jobs through gradio's own protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import unquote

import gradio
from fastapi import FastAPI

from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.events import follow
from occlusionformer.apps.studio.gradio_forward import CLIENT_HEADER, OWNER_HEADER
from occlusionformer.apps.studio.schemas import Body, ConvertBody, GenerateBody, ValidateBody, parse_as
from occlusionformer.apps.studio.service import Service
from occlusionformer.apps.studio.shares import Concurrency
from occlusionformer.layout.problems import shown

MOST_WAITING = 256
"""Most calls in gradio's queue. Calls that draw then wait in the job queue, which has its own limit."""

MOST_RUNNING, MOST_OF_ONE = 40, 10
"""Most calls running at one time, in all and of one client; gradio itself runs forty."""


class Calls:
    """The endpoints, named like the methods."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running = Concurrency(MOST_RUNNING, MOST_OF_ONE)

    @contextmanager
    def _call(self, request: gradio.Request) -> Iterator[None]:
        """Limit the calls of a client, and turn ApiError into gradio's error."""
        try:
            with self._running.one_more(_client(request)):
                yield
        except ApiError as refusal:
            raise gradio.Error(str(refusal), print_exception=False) from None

    async def generate(self, job: dict, request: gradio.Request) -> AsyncIterator[Any]:
        """Yield the states of the job, then its result. Cancelling or leaving the call cancels the job."""
        service = self._service
        with self._call(request):
            started = service.start(self._parsed(GenerateBody, job), _owner(request), _client(request))
            try:
                async with aclosing(follow(service.queue, started, grace=service.grace)) as states:
                    async for state in states:
                        if state is not None:
                            yield service.state(started)
            finally:
                service.queue.cancel(started)
            if started.result is not None:
                yield service.result(started)

    async def validate(self, layout: dict, request: gradio.Request) -> Any:
        """Whether a layout is right, and what follows from its order."""
        with self._call(request):
            return await self._service.validate(self._parsed(ValidateBody, {"layout": layout}), _client(request))

    async def convert(self, body: dict, request: gradio.Request) -> Any:
        """A layout document in another format; the body is that of POST /api/convert."""
        with self._call(request):
            return await self._service.convert(parse_as(ConvertBody, body), _client(request))

    async def models(self) -> Any:
        """Models and limits."""
        return self._service.models()

    async def cancel(self, job: str, request: gradio.Request) -> Any:
        """Stop a job by its id."""
        with self._call(request):
            if not isinstance(job, str):
                raise ApiError("invalid", f"expected the id of a job, got {shown(job)}")
            found = self._service.queue.find(job, _owner(request))
            self._service.queue.cancel(found)
            return self._service.state(found)

    def _parsed(self, kind: type[Body], value: Any) -> Body:
        """A body with a layout, after a first look at its length."""
        self._service.limits.check_count(value.get("layout") if isinstance(value, dict) else None, "layout")
        return parse_as(kind, value)


def gradio_app(service: Service, root_path: str) -> FastAPI:
    """gradio's application; its lifespan starts and stops gradio's queue."""
    calls = Calls(service)
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
