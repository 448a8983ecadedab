"""Requests as bytes on real sockets, one or many at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit


def exchange(url: str, request: bytes, seconds: float = 20) -> bytes:
    """All that comes back until the server closes the connection."""
    where = urlsplit(url)
    answer = b""
    with socket.create_connection((where.hostname, where.port), timeout=seconds) as connection:
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:
            pass
    return answer


def head(path: str, *, method: str = "GET", **headers: str) -> bytes:
    lines = {"Host": "127.0.0.1", "Connection": "close", **headers}
    return "".join(
        [f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in lines.items()), "\r\n"]
    ).encode()


def get(url: str, path: str, **headers: str) -> bytes:
    return exchange(url, head(path, **headers))


async def answers_to(url: str, path: str, headers: Sequence[Mapping[str, str]]) -> list[bytes]:
    """Of GET requests that are all sent before any answer is read."""
    where = urlsplit(url)
    opened = await asyncio.gather(*(asyncio.open_connection(where.hostname, where.port) for _ in headers))
    for (_, writer), each in zip(opened, headers, strict=True):
        writer.write(head(path, **each))
    answers = await asyncio.gather(*(reader.read() for reader, _ in opened))
    for _, writer in opened:
        writer.close()
    return list(answers)
