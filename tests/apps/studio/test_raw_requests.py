"""Requests that no client library would send: each is answered by a status of its own, never by an error of ours."""

from __future__ import annotations

import json
import logging

import pytest

from occlusionformer.layout import FORMATS
from tests.apps.studio.fake import fruit
from tests.apps.studio.sockets import exchange, get, head
from tests.tables import for_each

OWN = "Host: localhost\r\nConnection: close\r\n"
POST = f"POST /api/validate HTTP/1.1\r\n{OWN}Content-Type: application/json\r\n"
CHUNKED = f"{POST}Transfer-Encoding: chunked\r\n\r\n"
BODY = json.dumps({"layout": fruit(1)})
LENGTH = f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
JOB = "A" * 22

REQUESTS = {
    "no version": ("GET /\r\n\r\n", 400),
    "version 1.0": ("GET /api/health HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
    "version 1.0 without a host": ("GET / HTTP/1.0\r\n\r\n", 400),
    "version 2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "the beginning of TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 200, 400),
    "no host": ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "two hosts": ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    "another server's address": (f"GET http://evil.example/ HTTP/1.1\r\n{OWN}\r\n", 404),
    "options of all": (f"OPTIONS * HTTP/1.1\r\n{OWN}\r\n", 404),
    "connect": (f"CONNECT a:1 HTTP/1.1\r\n{OWN}\r\n", 404),
    "a long method": (f"{'A' * 5000} / HTTP/1.1\r\n{OWN}\r\n", 405),
    "a method in small letters": (f"get / HTTP/1.1\r\n{OWN}\r\n", 405),
    "a long path": (f"GET /{'a' * 60_000} HTTP/1.1\r\n{OWN}\r\n", 404),
    "nul in the path": (f"GET /%00 HTTP/1.1\r\n{OWN}\r\n", 404),
    "no UTF-8 in the path": (f"GET /%ff%fe HTTP/1.1\r\n{OWN}\r\n", 404),
    "half a character in the path": (f"GET /api/jobs/%ed%a0%80 HTTP/1.1\r\n{OWN}\r\n", 404),
    "half an escape in the path": (f"GET /% HTTP/1.1\r\n{OWN}\r\n", 404),
    "bytes in the path": (f"GET /\xff HTTP/1.1\r\n{OWN}\r\n", 400),
    "a space in the path": (f"GET / a HTTP/1.1\r\n{OWN}\r\n", 400),
    "a long header": (f"GET /api/health HTTP/1.1\r\n{OWN}X: {'a' * 60_000}\r\n\r\n", 200),
    "nul in a header": (f"GET / HTTP/1.1\r\n{OWN}X: \x00\r\n\r\n", 400),
    "bytes in headers": (f"GET /api/health HTTP/1.1\r\n{OWN}X: \xff\xfe\r\nAuthorization: Basic \xff\r\n\r\n", 200),
    "bytes in an origin": (f"GET / HTTP/1.1\r\n{OWN}Origin: \xff\r\n\r\n", 403),
    "a header without a colon": (f"GET / HTTP/1.1\r\n{OWN}X\r\n\r\n", 400),
    "a header with a space before its colon": ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    "an odd tag": (f"GET /static/js/main.js HTTP/1.1\r\n{OWN}If-None-Match: \xff*\r\n\r\n", 200),
    "an odd date": (f"GET /static/js/main.js HTTP/1.1\r\n{OWN}If-Modified-Since: Mon, 99 Foo 99999\r\n\r\n", 200),
    "a socket": (f"GET / HTTP/1.1\r\n{OWN}Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", 200),
    "a length and chunks": (f"{POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (f"{POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "a length of 5,000 digits": (f"{POST}Content-Length: {'9' * 5000}\r\n\r\n", 400),
    "a length of 18 digits": (f"{POST}Content-Length: {'9' * 18}\r\n\r\n", 413),
    "more than its length": (f"{POST}Content-Length: 2\r\n\r\n{{}}GET / HTTP/1.1\r\n\r\n", 422),
    "chunks of chunks": (f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "a chunk that is no number": (f"{CHUNKED}zz\r\n\r\n", 400),
    "a chunk of less than nothing": (f"{CHUNKED}-1\r\n\r\n", 400),
    "a chunk shorter than it says": (f"{CHUNKED}5\r\nab\r\n0\r\n\r\n", 400),
    "a chunk with a long extension": (f"{CHUNKED}2;{'x' * 70_000}\r\n{{}}\r\n0\r\n\r\n", 422),
    "headers behind the chunks": (f"{CHUNKED}2\r\n{{}}\r\n0\r\nX: y\r\nContent-Length: 3\r\n\r\n", 422),
    "a body nobody asked for": (f"GET /api/health HTTP/1.1\r\n{OWN}Content-Length: 5\r\n\r\nhello", 200),
    "another type first": (f"POST /api/validate HTTP/1.1\r\n{OWN}Content-Type: multipart/form-data\r\n{LENGTH}", 415),
    "no type": (f"POST /api/validate HTTP/1.1\r\n{OWN}{LENGTH}", 415),
    "a compressed body": (f"{POST}Content-Encoding: gzip\r\n{LENGTH}", 415),
    "a job's head": (f"HEAD /api/jobs/{JOB} HTTP/1.1\r\n{OWN}\r\n", 405),
    "the tenth picture": (f"GET /api/jobs/{JOB}/images/10.png HTTP/1.1\r\n{OWN}\r\n", 404),
    "the thousandth mask": (f"GET /api/jobs/{JOB}/images/0/masks/1000.png HTTP/1.1\r\n{OWN}\r\n", 404),
    "a long forwarded address": (f"GET /api/health HTTP/1.1\r\n{OWN}X-Forwarded-For: {'9' * 5000}\r\n\r\n", 200),
    "no session": (f"GET /gradio_api/queue/data HTTP/1.1\r\n{OWN}\r\n", 422),
    "two sessions": (f"GET /gradio_api/queue/data?session_hash=a&session_hash=b HTTP/1.1\r\n{OWN}\r\n", 422),
    "no UTF-8 in a session": (f"GET /gradio_api/queue/data?session_hash=%ff HTTP/1.1\r\n{OWN}\r\n", 422),
    "an odd host for gradio": ("GET /config HTTP/1.1\r\nHost: localhost:\r\nConnection: close\r\n\r\n", 200),
    "a port beyond all": ("GET /config HTTP/1.1\r\nHost: [::1]:99999999\r\nConnection: close\r\n\r\n", 200),
    "a stored state of gradio's": (f"GET /config?deep_link=../../etc/passwd HTTP/1.1\r\n{OWN}\r\n", 200),
}


@pytest.fixture(scope="module")
def server():
    from tests.apps.studio.conftest import serving

    with serving() as start:
        yield start(serves_gradio=True)


@for_each("name", REQUESTS)
def test_every_request_is_answered(server, caplog, name):
    request, status = REQUESTS[name]
    with caplog.at_level(logging.ERROR):
        answer = exchange(server.url, request.encode("latin-1"))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:300]
    assert caplog.records == []
    assert get(server.url, "/api/health").startswith(b"HTTP/1.1 200")
    assert b"deep_link_state" not in answer


@pytest.mark.parametrize(
    ("endpoint", "arguments", "told"),
    [
        ("generate", [], "expected 1 arguments for generate, got 0"),
        ("models", [1], "expected 0 arguments for models, got 1"),
        ("cancel", ["x", "y"], "expected 1 arguments for cancel, got 2"),
        ("convert", [{"a": {"_type": "gradio.FileData"}}], "expected values without files"),
    ],
)
def test_calls_of_gradio_with_other_arguments_are_refused(server, endpoint, arguments, told):
    number = ["generate", "validate", "convert", "models", "cancel"].index(endpoint)
    for path, body in (
        (f"call/{endpoint}", {"data": arguments}),
        ("queue/join", {"data": arguments, "fn_index": number, "session_hash": "s"}),
    ):
        answer = server.client.post(f"/gradio_api/{path}", json=body)
        assert (answer.status_code, answer.json()["problems"]) == (422, [{"field": "data", "message": told}])


@for_each("endpoint", ["generate", "validate", "convert", "cancel"])
@for_each("argument", [1, "x", None, [], {}, True, {"layout": 1}, {"__type__": "update"}, "A" * 100_000])
def test_calls_of_gradio_with_odd_arguments_end_in_an_error_of_the_call(server, capfd, endpoint, argument):
    event = server.client.post(f"/gradio_api/call/{endpoint}", json={"data": [argument]}).json()["event_id"]
    told = server.client.get(f"/gradio_api/call/{endpoint}/{event}").text
    assert "event: error" in told or '"valid": false' in told
    assert "Traceback" not in capfd.readouterr().err, "gradio prints those of errors that are none of ours"


def test_numbers_that_python_cannot_write_out_are_told(server):
    """int() of more than 4,300 digits raises, and so does writing such an int, as hexadecimal literals may be."""
    documents = [f"0x{'f' * 3572}", f"[{{'caption': 0x{'f' * 3572}}}]", f"{{'width': 0o{'7' * 5000}}}", "9" * 5000]
    for document in documents:
        for form in FORMATS:
            answer = server.client.post("/api/convert", json={"document": document, "from": form})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    for number in ("9" * 5000, "1e99999", "-" + "9" * 5000):
        content = f'{{"layout": {{"prompt": "x", "width": {number}, "height": 64}}}}'
        answer = server.client.post("/api/validate", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400)
        assert answer.json().get("valid", False) is False


def test_the_head_is_bounded_too(server):
    """Where it has not ended after 64 kilobytes it is given up."""
    endless = head("/api/health").removesuffix(b"\r\n") + b"X: " + b"a" * 2**20
    assert exchange(server.url, endless)[:12] in (b"HTTP/1.1 400", b"")
    assert get(server.url, "/api/health").startswith(b"HTTP/1.1 200")
