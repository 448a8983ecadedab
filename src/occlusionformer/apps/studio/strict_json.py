"""Request bodies: read within limits, and parsed as strict JSON of limited depth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from occlusionformer.apps.studio.errors import ApiError, problems_under
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.layout import LayoutError
from occlusionformer.layout.text import parse_json, text_of
from occlusionformer.layout.values import unfit_parts

DROPPED_BYTES, DROPPED_SECONDS = 65_536, 0.2
"""How much of a refused body is still read, and for how long."""


SMALL_BODY = 2**15
"""Bytes up to which a body is parsed in the event loop; larger ones are parsed in a thread."""


class ClientLeftError(Exception):
    """The client disconnected before its body was complete."""


class JsonRequest(Request):
    """A request whose body is already parsed."""

    def __init__(self, scope: Scope, receive: Receive, content: bytes, value: Any) -> None:
        super().__init__(scope, receive)
        self._content = content
        self._value = value

    async def body(self) -> bytes:
        return self._content

    async def json(self) -> Any:
        return self._value


class JsonRoute(APIRoute):
    """FastAPI's route with strict JSON bodies, within the limits in the application's state."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer

        async def handler(request: Request) -> Response:
            check_content_type(request.headers)
            content = await request.body()
            limits: StudioLimits = request.app.state.limits
            if len(content) < SMALL_BODY:
                value = parse_body(content, limits)
            else:
                async with request.app.state.turns.turn(request.state.client.counted_as):
                    value = await asyncio.to_thread(parse_body, content, limits)
            return await answer(JsonRequest(request.scope, request.receive, content, value))

        return handler


def check_content_type(headers: Headers) -> None:
    """Raises ApiError unless the body is plain JSON. Other sites' pages can send forms without preflight."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError("content_type", "expected Content-Type: application/json")
    if headers.get("content-encoding", "identity") != "identity":
        raise ApiError("content_type", "expected a body without Content-Encoding")


def has_body(headers: Headers) -> bool:
    """Whether a request declares a body."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def read_body(headers: Headers, receive: Receive, limits: StudioLimits) -> bytes:
    """The whole body. Raises ApiError if it is too large, as declared or as received, or too slow."""
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise ApiError("malformed", f"Content-Length: expected a number, got {declared[:60]!r}")
    if len(declared) > 18 or int(declared) > limits.body_bytes:
        raise _too_large(limits)
    try:
        return await asyncio.wait_for(_collect(receive, limits), limits.body_seconds)
    except TimeoutError:
        raise ApiError("slow", f"expected the whole body within {limits.body_seconds:g} seconds") from None


async def _collect(receive: Receive, limits: StudioLimits) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        part = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(part)
        if size > limits.body_bytes:
            raise _too_large(limits)
        parts.append(part)
    return b"".join(parts)


async def drop_rest(receive: Receive) -> None:
    """Read the rest of a refused body, within limits.

    A connection that is closed over unread bytes is reset, and a client still sending may never see the answer.
    """
    deadline = asyncio.get_running_loop().time() + DROPPED_SECONDS
    size, more = 0, True
    while more and size < DROPPED_BYTES:
        try:
            message = await asyncio.wait_for(receive(), deadline - asyncio.get_running_loop().time())
        except TimeoutError:
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


def _too_large(limits: StudioLimits) -> ApiError:
    return ApiError("too_large", f"expected a body of at most {limits.body_bytes} bytes")


def parse_body(body: bytes, limits: StudioLimits) -> Any:
    """Parse a JSON body. Raises ApiError for duplicate names, NaN, too large numbers, too deep or too many values."""
    if sum(map(body.count, (b",", b"[", b"{"))) > limits.values:  # those in texts too: hardly any are there
        raise ApiError("too_large", f"expected at most {limits.values} values in a body")
    try:
        value = parse_json(text_of(body))
        if _levels(value, limits.depth) > limits.depth:
            raise ApiError("malformed", f"expected at most {limits.depth} levels of objects and lists")
        unfit = unfit_parts(value)
        if problems := unfit.names + unfit.numbers:
            raise LayoutError(problems)
    except LayoutError as error:
        raise ApiError("malformed", problems_under(error)) from None
    return value


def _levels(value: object, most: int) -> int:
    """Nesting depth of a value, counted up to `most` + 1."""
    level: list[object] = [value]
    for depth in range(most + 1):
        level = (
            [
                child
                for part in level
                if isinstance(part, Mapping | list)
                for child in (part.values() if isinstance(part, Mapping) else part)
                if isinstance(child, Mapping | list)
            ]
            if depth
            else [part for part in level if isinstance(part, Mapping | list)]
        )
        if not level:
            return depth
    return most + 1
