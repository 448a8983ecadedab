"""Requests as gradio gets them: with the user's name as we know it, few headers, and the body we made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from occlusionformer.apps.studio.access import Client
from occlusionformer.apps.studio.gradio_sessions import GradioSessions

OWNER_HEADER = "x-occlusionformer-owner"
CLIENT_HEADER = "x-occlusionformer-client"
"""How the name of the user, and what is counted as one client, reach functions that gradio calls."""

KEPT_HEADERS = frozenset({b"host", b"accept", b"user-agent", b"content-type"})
"""No other header of a client means anything to gradio."""

RETRY_SECONDS = b"5"
"""When to come back to a queue of gradio's that is full."""


class Forwarded:
    """One request on its way to gradio. Raises ApiError when it names what is another user's."""

    def __init__(self, gradio: ASGIApp, sessions: GradioSessions, client: Client, route: str) -> None:
        self._gradio = gradio
        self._sessions = sessions
        self._client = client
        self._route = route
        self._body: bytes | None = None
        self._changes: dict[str, Any] = {} if route.endswith("/info") else {"query_string": b""}

    def prepare(self, parameters: Mapping[str, str], query: Mapping[str, str], body: Any) -> None:
        """Check and rename what it names."""
        owner, sessions = self._client.name, self._sessions
        if "event" in parameters:
            sessions.check_held(owner, parameters["event"])
        if "session" in parameters:
            sessions.check_free(owner, parameters["session"])
            inner = sessions.inner_name(owner, parameters["session"])
            path = self._route.replace("{session}", inner)
            self._changes |= {"path": path, "raw_path": path.encode()}
        if "session_hash" in query:
            sessions.check_held(owner, query["session_hash"])
            self._changes["query_string"] = f"session_hash={sessions.inner_name(owner, query['session_hash'])}".encode()
        if body is not None:
            self._body = json.dumps(self._renamed(body)).encode()

    def _renamed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        owner, sessions = self._client.name, self._sessions
        if "event_id" in body:
            sessions.check_held(owner, body["event_id"])
        if "session_hash" not in body:
            return dict(body)
        if "event_id" not in body:  # a call that begins
            sessions.hold(owner, body["session_hash"])
        return {**body, "session_hash": sessions.inner_name(owner, body["session_hash"])}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [each for each in scope["headers"] if each[0] in KEPT_HEADERS]
        headers += [
            (OWNER_HEADER.encode(), quote(self._client.name).encode()),
            (CLIENT_HEADER.encode(), quote(self._client.counted_as).encode()),
        ]
        pending = [] if self._body is None else [self._body]
        if self._body is not None:
            headers.append((b"content-length", str(len(self._body)).encode()))

        async def once_more() -> Message:
            if pending:
                return {"type": "http.request", "body": pending.pop(), "more_body": False}
            return await receive()

        begins = self._body is not None and scope["method"] == "POST"
        await self._gradio(
            {**scope, **self._changes, "headers": headers}, once_more, self._noting(send) if begins else send
        )

    def _noting(self, send: Send) -> Send:
        """A call that has begun is this user's before its id is told."""
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
