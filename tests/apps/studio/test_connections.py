"""Connections that are held open, on real sockets: nobody else is kept out."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from occlusionformer.apps.studio.listening import ConnectionLimits
from tests.apps.studio.fake import FakeGenerator, fruit

HALF_OPEN = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "headers without an end": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n",
    "no body": b"POST /api/validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 9\r\n\r\n",
}


def connect(url: str) -> socket.socket:
    where = urlsplit(url)
    return socket.create_connection((where.hostname, where.port), timeout=20)


@contextmanager
def held(url: str, count: int, content: bytes) -> Iterator[list[socket.socket]]:
    """Connections on which nothing more is sent than this."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            connection = stack.enter_context(connect(url))
            with contextlib.suppress(ConnectionError):  # it was closed for one that came later
                connection.sendall(content)
            found.append(connection)
        yield found


def rest_of(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def is_closed_while_sending(connection: socket.socket, content: bytes, *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            connection.send(content)
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("content", HALF_OPEN.values(), ids=HALF_OPEN)
def test_600_half_open_connections_keep_nobody_out(serve, content):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2000:
        pytest.skip("needs 2,000 open files: ulimit -n")
    studio = serve()
    with held(studio.url, 600, content):
        assert httpx.get(f"{studio.url}/api/health", timeout=10).status_code == 200
        assert studio.draw(layout=fruit(4))["images"][0]["seed"] == 4


def test_a_head_that_does_not_come_ends_the_connection(serve):
    studio = serve(connections=ConnectionLimits(head_seconds=0.3))
    began = time.monotonic()
    with held(studio.url, 1, HALF_OPEN["half a line"]) as (partly,), held(studio.url, 1, b"") as (silent,):
        head, _, body = rest_of(partly).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body) == {
            "problems": [{"field": "", "message": "expected the whole request within 0.3 seconds"}],
            "code": "slow",
        }
        assert rest_of(silent) == b""
    assert 0.2 < time.monotonic() - began < 8.0


def test_a_head_that_comes_byte_by_byte_has_no_more_time(serve):
    studio = serve(connections=ConnectionLimits(head_seconds=0.5))
    with connect(studio.url) as connection:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 200:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - began < 8.0
        assert rest_of(connection).startswith((b"HTTP/1.1 408", b""))


def test_a_second_request_that_does_not_come_ends_the_connection_too(serve):
    studio = serve(connections=ConnectionLimits(head_seconds=0.3))
    with connect(studio.url) as connection:
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)  # idle between requests it may stay
        connection.sendall(b"GET /api")
        assert b"HTTP/1.1 408" in rest_of(connection)


def test_a_request_that_takes_longer_than_a_head_may_is_answered(serve):
    studio = serve(FakeGenerator(seconds_per_step=0.2), connections=ConnectionLimits(head_seconds=0.2))
    assert studio.draw(layout=fruit(5), steps=4)["images"][0]["seed"] == 5


def test_requests_sent_at_once_are_all_answered(serve):
    studio = serve(connections=ConnectionLimits(head_seconds=0.3))
    one = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
    with connect(studio.url) as connection:
        connection.sendall((one + b"\r\n") * 9 + one + b"Connection: close\r\n\r\n")
        assert rest_of(connection).count(b"HTTP/1.1 200") == 10


def test_who_does_not_read_is_given_up(serve):
    """Answers pile up for a client that only asks."""
    studio = serve(connections=ConnectionLimits(unread_seconds=0.3))
    with contextlib.closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        where = urlsplit(studio.url)
        connection.connect((where.hostname, where.port))
        connection.settimeout(0.1)
        requests = b"GET /static/js/main.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
        assert is_closed_while_sending(connection, requests, seconds=10)


@pytest.mark.slow
def test_600_half_open_connections_held_for_20_seconds(serve):
    """Others draw all the while, and no connection outlives its time."""
    studio = serve()
    with held(studio.url, 600, HALF_OPEN["headers without an end"]) as connections:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            assert httpx.get(f"{studio.url}/api/health", timeout=10).status_code == 200
            assert studio.draw(layout=fruit(6))["images"][0]["seed"] == 6
            time.sleep(0.2)
        for connection in connections:
            connection.settimeout(5)
            assert rest_of(connection).startswith((b"HTTP/1.1 408", b""))
