"""The studio as an ASGI application: every request through the access, then to its answer or to gradio."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import ExitStack
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from occlusionformer.apps.studio.access import SECURITY_HEADERS, Access
from occlusionformer.apps.studio.body import ClientLeftError, drop_rest, parse_body, read_body
from occlusionformer.apps.studio.errors import ApiError, FieldProblem
from occlusionformer.apps.studio.gradio_bodies import ROUTES, check_endpoint, clean_body
from occlusionformer.apps.studio.gradio_forward import Forwarded
from occlusionformer.apps.studio.gradio_sessions import GradioSessions
from occlusionformer.apps.studio.limits import Limits
from occlusionformer.apps.studio.shares import Concurrency
from occlusionformer.apps.studio.table import PARAMETERS, Call, Route, Table

SMALL_BODY = 2**15
"""Bytes up to which a body is parsed on the spot: others would wait for a larger one."""


class Application:
    """Nothing behind it sees a request that the access, the table or the limits refuse."""

    def __init__(self, routes: Sequence[Route], gradio: ASGIApp | None, *, access: Access, limits: Limits) -> None:
        self.table = Table([*routes, *(ROUTES if gradio else ())])
        self._gradio = gradio
        self._sessions = GradioSessions()
        self._access = access
        self._answering = Concurrency()
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await (self._gradio or _no_lifespan)(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, _with_security_headers(send))
        else:
            await _refuse_socket(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        with ExitStack() as answering:
            try:
                client = await self._access.admit(scope, headers)
                route, parameters = self.table.find(scope["method"], scope["path"])
                self._access.check_rate(client, route.kind)
                query = _checked_query(route, scope)
                value = await self._body(route, headers, receive)
                unread = False
                answering.enter_context(self._answering.one_more(client.counted_as))
                call = Call(parameters, query, value, client, headers)
                response = await route.answer(call) if route.answer else self._forwarded(route, call)
            except ApiError as refusal:
                if unread:
                    await drop_rest(receive)
                response = refusal.response(close=unread)
            except ClientLeftError:
                return
            await response(scope, receive, send)

    def _forwarded(self, route: Route, call: Call) -> Forwarded:
        endpoint = call.parameters.get("endpoint")
        if endpoint is not None:
            check_endpoint(endpoint)
        assert self._gradio is not None
        body = None if call.body is None else clean_body(route.path, call.body, endpoint)
        forwarded = Forwarded(self._gradio, self._sessions, call.client, route.path)
        forwarded.prepare(call.parameters, call.query, body)
        return forwarded

    async def _body(self, route: Route, headers: Headers, receive: Receive) -> object:
        """What was sent as JSON; a body nobody asked for is bounded like any other, and then dropped."""
        if route.body == "none":
            if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
                await read_body(headers, receive, self._limits)
            return None
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError("content_type", "expected Content-Type: application/json")
        if headers.get("content-encoding", "identity") != "identity":
            raise ApiError("content_type", "expected a body without Content-Encoding")
        content = await read_body(headers, receive, self._limits)
        if len(content) < SMALL_BODY:
            return parse_body(content, self._limits)
        return await asyncio.to_thread(parse_body, content, self._limits)


def _checked_query(route: Route, scope: Scope) -> dict[str, str]:
    """Raises ApiError unless all is there that the route needs."""
    if not route.query:
        return {}
    given = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    problems = [
        FieldProblem(name, f"expected {name}={kind} in the query, once")
        for name, kind in route.query.items()
        if len(values := given.get(name, [])) != 1 or not re.fullmatch(PARAMETERS[kind], values[0])
    ]
    if problems:
        raise ApiError("invalid", problems)
    return {name: given[name][0] for name in route.query}


def _with_security_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


async def _refuse_socket(receive: Receive, send: Send) -> None:
    """There are no web sockets here."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})


async def _no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})
