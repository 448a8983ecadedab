"""The address may be used as soon as it is known."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio
from tests.apps.studio.fake import FakeGenerator


def test_who_comes_before_the_server_runs_is_answered_when_it_does():
    studio = build_studio(StudioConfig(port=0, serves_gradio=False), load=lambda spec: FakeGenerator())
    server = StudioServer(studio)
    where = urlsplit(server.address)
    with socket.create_connection((where.hostname, where.port), timeout=20) as early:
        early.sendall(f"GET /api/jobs/none HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
        with server.running():
            assert early.recv(8).startswith(b"HTTP/1.1")
