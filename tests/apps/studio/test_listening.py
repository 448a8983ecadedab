"""Addresses and ports: used as soon as they are known, and named when they cannot be."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

import pytest

from occlusionformer.apps.studio.listening import (
    ListeningError,
    checked_proxies,
    checked_root_path,
    listening_problem,
    listening_socket,
)
from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio
from tests.apps.studio.fake import FakeGenerator
from tests.tables import for_each


def test_who_comes_before_the_server_runs_is_answered_when_it_does():
    studio = build_studio(StudioConfig(port=0, serves_gradio=False), load=lambda spec: FakeGenerator())
    server = StudioServer(studio)
    where = urlsplit(server.address)
    with socket.create_connection((where.hostname, where.port), timeout=20) as early:
        early.sendall(f"GET /api/jobs/none HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
        with server.running():
            assert early.recv(8).startswith(b"HTTP/1.1")


def test_a_port_in_use_is_named():
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListeningError) as refused:
            listening_socket("127.0.0.1", port)
    told = f"port: expected a free one, got {port}, which another program listens on: choose another with --port"
    assert refused.value.problems == [told]


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "2001:db8::7", "999.1.1.1"])
def test_an_address_of_another_machine_is_named(host):
    with pytest.raises(ListeningError, match=f"^host: expected an address of this machine, got '{host}'$"):
        listening_socket(host, 0)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_port_for_the_administrator_is_named(number):
    """As the system answers users; the administrator, who runs tests in containers, gets any port."""
    told = listening_problem(PermissionError(number, "Permission denied"), "127.0.0.1", 80)
    assert told == "port: expected one that this user may listen on, mostly 1024 or above, got 80"


@for_each(
    ("given", "path"),
    [("", ""), ("/", ""), ("//", ""), ("/studio", "/studio"), ("/studio/", "/studio"), ("/a/b-c_.e~f", "/a/b-c_.e~f")],
)
def test_root_paths(given, path):
    assert checked_root_path(given) == path


@for_each("given", ["studio", "/a//b", "/a b", "/a?b", "/..", "/a/../b", "/./a", "http://a/b", "/ä", "/a%20b", "/a\n"])
def test_what_is_no_root_path_is_named(given):
    with pytest.raises(ListeningError) as refused:
        checked_root_path(given)
    assert refused.value.problems == [f"root-path: expected a path such as /studio, got {given!r}"]


@pytest.mark.parametrize("given", ["/api", "/static/x", "/config", "/gradio_api/"])
def test_a_root_path_is_none_of_the_servers_own(given):
    with pytest.raises(ListeningError, match="expected a path that is not the server's own"):
        checked_root_path(given)


def test_proxies_are_addresses_and_networks():
    assert checked_proxies(["10.1.2.3", "2001:db8::1"]) == ["10.1.2.3/32", "::ffff:10.1.2.3/128", "2001:db8::1/128"]
    assert checked_proxies(["10.1.2.3/8"]) == ["10.0.0.0/8", "::ffff:10.0.0.0/104"]
    for wrong in ("*", "proxy.example", "10.0.0.0/40", ""):
        with pytest.raises(ListeningError, match="proxy: expected an address or a network such as"):
            checked_proxies([wrong])
