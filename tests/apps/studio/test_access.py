"""Who may come in, and with what."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from occlusionformer.apps.studio.access import SECURITY_HEADERS
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.apps.studio.passwords import hash_password, new_token
from occlusionformer.apps.studio.rates import Rate, Rates
from occlusionformer.apps.studio.server import StudioConfig, UnsafeHostError, build_studio
from tests.apps.studio.conftest import paths_of
from tests.apps.studio.fake import fruit
from tests.tables import for_each

FILLED_IN = {
    "{job}": "A" * 22, "{picture}": "0", "{instance}": "0", "{file}": "index.html", "{session}": "s", "{event}": "e",
    "{endpoint}": "generate",
}  # fmt: skip


def every_request(studio) -> list[tuple[str, str]]:
    found = []
    for method, path in paths_of(studio.application):
        for name, value in FILLED_IN.items():
            path = path.replace(name, value)
        found.append((method, path))
    return found


@pytest.fixture
def auth_file(tmp_path) -> tuple[Path, str]:
    """A file with ada (password `correct horse`) and a token for bob."""
    token, entry = new_token("bob")
    path = tmp_path / "users"
    path.write_text(f"# who may come in\n{hash_password('ada', 'correct horse').line()}\n\n{entry.line()}\n")
    path.chmod(0o600)
    return path, token


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "studio.example"])
def test_other_hosts_need_an_auth_file(host):
    with pytest.raises(UnsafeHostError, match="expected a loopback address, or --auth-file"):
        build_studio(StudioConfig(host=host))


def test_every_path_asks_who_is_there(serve, auth_file):
    """Those of gradio too, those that do not exist, and whatever the method."""
    path, _ = auth_file
    studio = serve(host="0.0.0.0", auth_file=path, serves_gradio=True)
    requests = every_request(studio.studio)
    assert len(requests) >= 25
    requests += [("GET", "/static/js/main.js"), ("GET", "/static/examples/zoo.webp"), ("GET", "/api/openapi.json")]
    requests += [("GET", "/nothing"), ("GET", "/gradio_api/upload"), ("OPTIONS", "/api/generate"), ("PUT", "/"),
                 ("GET", "/theme.css"), ("GET", "/assets/index.js"), ("GET", "/login"), ("HEAD", "/a")]  # fmt: skip
    for headers in ({}, basic("ada", "wrong"), {"Authorization": "Bearer x"}):
        for method, target in requests[: None if not headers else 3]:
            answer = studio.client.request(method, target, headers=headers)
            assert answer.status_code == 401, (method, target)
            assert answer.headers["www-authenticate"].startswith("Basic ")
    for method, target in requests[-8:]:
        assert studio.client.request(method, target, headers=basic("ada", "correct horse")).status_code in (404, 405)


def test_names_and_tokens_open(serve, auth_file):
    path, token = auth_file
    studio = serve(host="0.0.0.0", auth_file=path)
    for headers in (basic("ada", "correct horse"), {"Authorization": f"Bearer {token}"}):
        assert studio.client.get("/api/health", headers=headers).status_code == 200
    for headers in (
        basic("bob", token), basic("ada", ""), basic("", ""), basic("eve", "correct horse"),
        {"Authorization": "Basic ====" }, {"Authorization": "Bearer"}, {"Authorization": f"Digest {token}"},
    ):  # fmt: skip
        assert studio.client.get("/api/health", headers=headers).status_code == 401, headers


def test_jobs_answer_to_their_own_user(serve, auth_file):
    path, token = auth_file
    studio = serve(host="0.0.0.0", auth_file=path)
    ada, bob = basic("ada", "correct horse"), {"Authorization": f"Bearer {token}"}
    job = studio.client.post("/api/generate", json={"layout": fruit(1)}, headers=ada).json()["job"]
    for target in (f"/api/jobs/{job}", f"/api/jobs/{job}/events", f"/api/jobs/{job}/images/0.png"):
        assert studio.client.get(target, headers=bob).status_code == 404
    assert studio.client.post(f"/api/jobs/{job}/cancel", headers=bob).status_code == 404
    assert studio.client.get(f"/api/jobs/{job}", headers=ada).status_code == 200


def test_guessing_passwords_is_slowed(serve, auth_file):
    path, _ = auth_file
    studio = serve(host="0.0.0.0", auth_file=path, rates=Rates(wrong_password=Rate(2, 0.1)))
    assert studio.client.get("/api/health", headers=basic("ada", "correct horse")).status_code == 200
    codes = [studio.client.get("/", headers=basic("ada", f"guess {n}")).status_code for n in range(4)]
    assert codes == [401, 401, 429, 429]
    assert studio.client.get("/api/health", headers=basic("ada", "correct horse")).status_code == 200


@for_each("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "", "[::1", "a:b"])
def test_a_server_answers_to_its_own_names_only(plain, host):
    """Else a page could reach it under a name of its own that points here."""
    answer = plain.client.get("/api/health", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "LOCALHOST.", "127.0.0.1:8080", "[::1]:7860", "studio.lan"]
)
def test_its_own_names(serve, host):
    assert serve(allowed_hosts=("studio.lan",)).client.get("/api/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused(plain, headers):
    for method, path in (("POST", "/api/generate"), ("GET", "/api/models"), ("POST", f"/api/jobs/{'A' * 22}/cancel")):
        answer = plain.client.request(method, path, json={"layout": fruit(1)}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert plain.client.get("/api/health").json()["queue"]["waiting"] == 0


def test_its_own_page_and_links_to_it_are_let_in(plain):
    own = {"Origin": plain.url, "Sec-Fetch-Site": "same-origin"}
    assert plain.client.post("/api/validate", json={"layout": fruit()}, headers=own).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert plain.client.get("/", headers=link).status_code == 200
    assert plain.client.post("/api/validate", json={"layout": fruit()}, headers=link).status_code == 403


def test_every_answer_carries_the_security_headers(plain):
    for path in ("/", "/api/health", "/nothing", "/static/index.html"):
        answer = plain.client.get(path)
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert "server" not in answer.headers
    assert "unsafe" not in SECURITY_HEADERS["content-security-policy"]


def raw(url: str, head: str, body: bytes = b"", *, pause: float = 0.0) -> tuple[bytes, int]:
    """What the server says to bytes on a socket, and how much of the body it took."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\nHost: 127.0.0.1\r\n\r\n".replace("\r\n\r\nHost", "\r\nHost").encode())
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < len(body):
                sent += connection.send(body[sent : sent + 65536])
                time.sleep(pause)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
                answer += part
        return answer, sent


POST = "POST /api/generate HTTP/1.1\r\nContent-Type: application/json"


def test_a_body_declared_too_large_is_refused_before_any_of_it_is_sent(plain):
    answer, _ = raw(plain.url, f"{POST}\r\nContent-Length: 1000000000000")
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_too_large_is_refused_before_it_is_read_whole(serve):
    """The answer comes while the body goes on, and then nothing more of it is taken."""
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    studio = serve(limits=StudioLimits(body_bytes=300_000))
    answer, _ = raw(studio.url, f"{POST}\r\nTransfer-Encoding: chunked", chunk * 6)
    assert answer.startswith(b"HTTP/1.1 413")
    _, sent = raw(studio.url, f"{POST}\r\nTransfer-Encoding: chunked", chunk * 800, pause=0.001)
    assert sent < 800 * len(chunk) / 2


def test_a_body_that_does_not_come_is_given_up(serve):
    answer, _ = raw(serve(limits=StudioLimits(body_seconds=0.2)).url, f"{POST}\r\nContent-Length: 100", b"{")
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "\u0662"])
def test_a_length_that_is_no_number_is_refused(plain, length):
    place = urlsplit(plain.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(f"{POST}\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")


@for_each(
    ("content", "code"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"layout": NaN}', "malformed"),
        (b'{"layout": 1e999}', "malformed"),
        (b'{"layout": {}, "layout": {}}', "malformed"),
        (b"[" * 10_000, "malformed"),
        (b'{"layout": ' + b"[" * 40 + b"]" * 40 + b"}", "malformed"),
        (b"[]", "invalid"),
        (b'"text"', "invalid"),
        (b"null", "invalid"),
        (b'{"layout": {"prompt": "\\ud800"}}', "invalid"),
        (b'{"\\ud800": 1}', "invalid"),
    ],
)
def test_what_is_no_layout_is_refused(plain, content, code):
    for path in ("/api/generate", "/api/convert"):
        answer = plain.client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert answer.json()["code"] == code
        assert answer.status_code == {"malformed": 400, "invalid": 422}[code]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_read(plain, kind):
    """Forms can be sent by pages of other sites without asking."""
    content = json.dumps({"layout": fruit(1)})
    answer = plain.client.post("/api/generate", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type")


def test_too_many_instances_are_refused_before_they_are_read(plain):
    """Even when they are no instances at all."""
    for path in ("/api/generate", "/api/validate"):
        answer = plain.client.post(path, json={"layout": {"instances": [None] * 65}})
        assert answer.json()["problems"] == [{"field": "layout.instances", "message": "expected at most 64, got 65"}]


def test_a_client_that_comes_too_often_is_told_when_to_come_back(serve):
    studio = serve(rates=Rates(generate=Rate(3, 0.5)))
    forwarded = [{"X-Forwarded-For": f"10.0.0.{number}"} for number in range(5)]
    answers = [studio.client.post("/api/generate", json={"layout": fruit(1)}, headers=each) for each in forwarded]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3
    assert studio.client.get("/api/health").status_code == 200


@for_each(
    "path",
    [
        "/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/static/..%2fserver.py",
        "/static/js/../../limits.py", "/static/.hidden", "/static/index.html%00.js", "/gradio_api/file=/etc/passwd",
        "/gradio_api/upload", "/gradio_api/proxy=https://x.hf.space/", "/docs", "/openapi.json",
        "/gradio_api/component_server", "/api/jobs/../health", "/api/jobs/x", "/api//health", "/API/health",
    ],
)  # fmt: skip
def test_paths_that_are_not_in_the_table_do_not_exist(plain, path):
    place = urlsplit(plain.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 404")


def test_wrong_methods_are_told_the_right_one(plain):
    answer = plain.client.get("/api/generate")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"):
        assert plain.client.request(method, "/api/health").status_code == 405


def test_markup_in_a_caption_stays_text(plain):
    """It comes back as JSON, under a type that no browser renders."""
    markup = "<img src=x onerror=alert(1)>"
    layout = fruit(1, instances=[{"id": markup, "caption": markup, "box": [0.5, 0.2, 0.1, 0.7]}], order=None)
    answer = plain.client.post("/api/validate", json={"layout": layout})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["valid"] is False


def test_clients_that_never_send_their_bodies_keep_nobody_out(plain):
    place = urlsplit(plain.url)
    held = []
    try:
        for _ in range(40):
            connection = socket.create_connection((place.hostname, place.port), timeout=10)
            connection.sendall(f"{POST}\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n".encode())
            held.append(connection)
        assert plain.draw(layout=fruit(4))["images"][0]["seed"] == 4
    finally:
        for connection in held:
            connection.close()
    assert threading.active_count() < 40
