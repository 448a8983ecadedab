"""Limits on connections: time-outs for slow requests and unread responses, and a bound on their number.

uvicorn closes connections that are idle between two requests, but waits without limit for the rest of a request that
has begun. Its protocol class can be replaced; this one adds timers, HTTP itself is left to uvicorn and h11.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from functools import partial
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from occlusionformer.apps.studio.listening import ConnectionLimits


class ConnectionGuard:
    """All connections of a server. Only for use in the event loop's thread."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: set[GuardedProtocol] = set()
        self._awaited: dict[str, OrderedDict[GuardedProtocol, None]] = {}
        """Connections waiting for their client to send something, by address, the longest waiting first."""

    def opened(self, connection: GuardedProtocol) -> None:
        """Add a connection. Above the limit, close the longest waiting one of the address with most waiting."""
        self._open.add(connection)
        self.awaited(connection)
        if len(self._open) > self.limits.most:
            most_from_one = max(self._awaited.values(), key=len)
            next(iter(most_from_one)).drop()

    def closed(self, connection: GuardedProtocol) -> None:
        self._open.discard(connection)
        self.busy(connection)

    def awaited(self, connection: GuardedProtocol) -> None:
        """Mark as waiting for the client."""
        self._awaited.setdefault(connection.address, OrderedDict()).setdefault(connection)

    def busy(self, connection: GuardedProtocol) -> None:
        """Mark as busy: the request is complete and being answered."""
        waiting = self._awaited.get(connection.address, OrderedDict())
        waiting.pop(connection, None)
        if not waiting:
            self._awaited.pop(connection.address, None)

    def protocol(self) -> type[asyncio.Protocol]:
        """The value for uvicorn's setting `http`."""
        return cast("type[asyncio.Protocol]", partial(GuardedProtocol, self))


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with time-outs for the request head and for unread responses."""

    def __init__(self, guard: ConnectionGuard, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._guard = guard
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self.address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._head_timer = self.loop.call_later(self._guard.limits.head_seconds, self._head_is_late)
        self._guard.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and not self._in_request:
            self._head_timer = self.loop.call_later(self._guard.limits.head_seconds, self._head_is_late)
        super().data_received(data)
        self._note_progress()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note_progress()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._guard.closed(self)
        _cancel(self._head_timer)
        _cancel(self._unread_timer)

    def pause_writing(self) -> None:
        super().pause_writing()
        _cancel(self._unread_timer)
        self._unread_timer = self.loop.call_later(self._guard.limits.unread_seconds, self.drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._unread_timer)

    def drop(self) -> None:
        """Close at once, without a response; the application sees a disconnected client."""
        self._guard.closed(self)  # at once, the transport tells later
        self.transport.abort()

    @property
    def _in_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _note_progress(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_request:
            _cancel(self._head_timer)
            self._head_timer = None
        if self._in_request and not self.cycle.more_body:
            self._guard.busy(self)
        else:
            self._guard.awaited(self)

    def _head_is_late(self) -> None:
        if self.transport.is_closing() or self._in_request:
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self._answer_late()
        self.transport.close()

    def _answer_late(self) -> None:
        """Send 408. Only after part of a request: browsers also open connections without sending anything."""
        text = f"expected the whole request within {self._guard.limits.head_seconds:g} seconds"
        body = json.dumps({"problems": [{"field": "", "message": text}], "code": "slow"}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (
            h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
