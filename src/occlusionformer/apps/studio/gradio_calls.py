"""The same jobs through gradio's own protocol, for its client; of gradio's paths only those that the client needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any
from urllib.parse import unquote

import gradio
from fastapi import FastAPI

from occlusionformer.apps.studio.answers import Answers
from occlusionformer.apps.studio.events import follow
from occlusionformer.apps.studio.gradio_bodies import OWNER_HEADER
from occlusionformer.apps.studio.refusal import RefusalError
from occlusionformer.apps.studio.words import result_json, state_json

MOST_WAITING = 256
"""Calls in gradio's queue; those that draw then wait in ours, which has its own bound."""


class Calls:
    """What the client can call, under the names of the methods."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def generate(self, job: dict, request: gradio.Request) -> AsyncIterator[Any]:
        """States of the job as it goes on, then its result. A call that is cancelled or left stops the job."""
        line = self._answers.line
        try:
            started = self._answers.start(job, _owner(request))
        except RefusalError as refusal:
            raise _error(refusal) from None
        try:
            async for standing in follow(line, started, grace=self._answers.grace):
                if standing is not None:
                    yield state_json(line, started)
        finally:
            line.cancel(started)
        if started.result is not None:
            yield result_json(line, started)

    async def validate(self, layout: dict) -> Any:
        """Whether a layout is right, and what follows from its order."""
        return await _told(self._answers.validated({"layout": layout}))

    async def convert(self, body: dict) -> Any:
        """A layout document in another format; the body is that of POST /api/convert."""
        return await _told(self._answers.converted(body))

    async def models(self) -> Any:
        """Models and limits."""
        return self._answers.models_json()

    async def cancel(self, job: str, request: gradio.Request) -> Any:
        """Stop a job by its id."""
        line = self._answers.line
        try:
            found = line.find(job, _owner(request))
        except RefusalError as refusal:
            raise _error(refusal) from None
        line.cancel(found)
        return state_json(line, found)


def gradio_app(answers: Answers) -> FastAPI:
    """An application with gradio's paths; its lifespan starts and stops gradio's queue."""
    calls = Calls(answers)
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
    except RefusalError as refusal:
        raise _error(refusal) from None


def _error(refusal: RefusalError) -> gradio.Error:
    return gradio.Error(str(refusal), print_exception=False)
