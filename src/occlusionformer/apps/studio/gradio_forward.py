"""Requests as they are passed to gradio: with the checked user's name, few headers and a checked body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from occlusionformer.apps.studio.access import Client
from occlusionformer.apps.studio.gradio_sessions import GradioSessions

OWNER_HEADER = "x-occlusionformer-owner"
CLIENT_HEADER = "x-occlusionformer-client"
"""Headers that carry the user's name and the client to the functions that gradio calls."""

KEPT_HEADERS = frozenset({b"host", b"accept", b"user-agent", b"content-type"})
"""Headers that are passed on to gradio; others could change its addresses or users."""

KEPT_SCOPE = frozenset(
    {"type", "asgi", "http_version", "server", "client", "scheme", "method", "path", "raw_path", "query_string"}
)
"""Keys of the ASGI scope that are passed on; FastAPI's own are not."""

RETRY_SECONDS = b"5"
"""Retry-After when gradio's queue is full."""


class Forwarded(Response):
    """The response of gradio to a request."""

    def __init__(
        self,
        gradio: ASGIApp,
        sessions: GradioSessions,
        client: Client,
        changes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
    ) -> None:
        """`changes` replace keys of the request's scope."""
        super().__init__()
        self._gradio = gradio
        self._sessions = sessions
        self._client = client
        self._changes = changes
        self._content = None if body is None else json.dumps(body).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [each for each in scope["headers"] if each[0] in KEPT_HEADERS]
        headers += [
            (OWNER_HEADER.encode(), quote(self._client.name).encode()),
            (CLIENT_HEADER.encode(), quote(self._client.counted_as).encode()),
        ]
        pending = [] if self._content is None else [self._content]
        if self._content is not None:
            headers.append((b"content-length", str(len(self._content)).encode()))

        async def once_more() -> Message:
            if pending:
                return {"type": "http.request", "body": pending.pop(), "more_body": False}
            return await receive()

        kept = {name: value for name, value in scope.items() if name in KEPT_SCOPE}
        inner = {**kept, "root_path": "", "state": {}, **self._changes, "headers": headers}
        await self._gradio(inner, once_more, send if self._content is None else self._noting(send))

    def _noting(self, send: Send) -> Send:
        """Register a new call as this user's before its id is sent."""
        content = b""

        async def sending(message: Message) -> None:
            nonlocal content
            if message["type"] == "http.response.start" and message["status"] == 503:
                message = {**message, "headers": [*message["headers"], (b"retry-after", RETRY_SECONDS)]}
            if message["type"] == "http.response.body":
                content += message.get("body", b"")
                if not message.get("more_body", False):
                    self._hold_call(content)
            await send(message)

        return sending

    def _hold_call(self, content: bytes) -> None:
        try:
            told = json.loads(content)
        except ValueError:
            return
        if isinstance(told, dict) and isinstance(told.get("event_id"), str):
            self._sessions.hold(self._client.name, told["event_id"])
