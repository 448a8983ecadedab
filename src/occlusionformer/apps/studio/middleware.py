"""ASGI middleware: security headers, root path, and access, rate and body limits for every request."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from occlusionformer.apps.studio.access import SECURITY_HEADERS, Access
from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.apps.studio.rates import Kind
from occlusionformer.apps.studio.shares import Concurrency
from occlusionformer.apps.studio.strict_json import ClientLeftError, drop_rest, has_body, read_body

COSTLY: dict[str, Kind] = {
    "/api/generate": "generate",
    "/api/validate": "compute",
    "/api/convert": "compute",
    "/gradio_api/queue/join": "generate",
    "/gradio_api/call/": "generate",
}
"""Prefixes of the paths whose POST requests have rates of their own."""


class SecurityHeaders:
    """Adds security headers, and `Cache-Control: no-cache` to responses without that header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_security_headers(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


def add_security_headers(headers: MutableHeaders) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers[name] = value
    headers.setdefault("cache-control", "no-cache")


class UnderPath:
    """Removes the root path from requests, for proxies that do not remove it themselves."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if self._root_path and path == self._root_path:
            await RedirectResponse(f"{path}/", 308)(scope, receive, send)  # what the page names is relative to this
            return
        if path.startswith(f"{self._root_path}/"):
            inner = path[len(self._root_path) :]
            scope = {**scope, "path": inner, "raw_path": inner.encode()}
        await self._app(scope, receive, send)


class Admission:
    """Applies all limits before the application runs; `request.state.client` is the sender afterwards."""

    def __init__(self, app: ASGIApp, *, access: Access, limits: StudioLimits) -> None:
        self._app = app
        self._access = access
        self._limits = limits
        self._answering = Concurrency()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await _refuse_socket(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        unread = has_body(headers)
        try:
            client = await self._access.admit(scope, headers)
            self._access.check_rate(client, _kind_of(scope))
            body = await read_body(headers, receive, self._limits) if unread else None
            unread = False
            with self._answering.one_more(client.counted_as):
                scope.setdefault("state", {})["client"] = client
                await self._app(scope, receive if body is None else _once_more(body, receive), send)
        except ApiError as error:
            if unread:
                await drop_rest(receive)
            await error.response(close=unread)(scope, receive, send)
        except ClientLeftError:
            return


def _kind_of(scope: Scope) -> Kind:
    if scope["method"] == "POST":
        for beginning, kind in COSTLY.items():
            if scope["path"].startswith(beginning):
                return kind
    return "read"


def _once_more(body: bytes, receive: Receive) -> Receive:
    """A `receive` that yields the body already read, then later messages."""
    pending = [body]

    async def receiving() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receiving


async def _refuse_socket(receive: Receive, send: Send) -> None:
    """Close web sockets: there are no routes for them."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})
