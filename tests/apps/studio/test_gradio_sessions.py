"""gradio's sessions and calls answer to their own user, on every path that gradio has."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.gradio_sessions import GradioSessions
from occlusionformer.apps.studio.passwords import new_token
from tests.apps.studio.conftest import UNLIMITED
from tests.apps.studio.fake import FakeGenerator, fruit

API = "/gradio_api"
SESSION = "ada-s_session"
SECRET = "a secret background"


@dataclass
class Two:
    """A studio with two users, and a gate that holds what ada draws."""

    url: str
    ada: httpx.Client
    bob: httpx.Client
    go: threading.Event

    def join(self, who: httpx.Client, session: str = SESSION, **changes: object) -> httpx.Response:
        body = {"data": [{"layout": fruit(1, prompt=SECRET)}], "fn_index": 0, "session_hash": session, **changes}
        return who.post(f"{API}/queue/join", json=body)


@pytest.fixture
def two(serve, tmp_path):
    tokens = {name: new_token(name) for name in ("ada", "bob")}
    path = tmp_path / "users"
    path.write_text("\n".join(entry.line() for _, entry in tokens.values()))
    path.chmod(0o600)
    go = threading.Event()
    generator = FakeGenerator(before_step=lambda step: go.wait(20))
    studio = serve(generator, host="0.0.0.0", auth_file=path, serves_gradio=True, rates=UNLIMITED)
    clients = [
        httpx.Client(base_url=studio.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        for token, _ in tokens.values()
    ]
    yield Two(studio.url, *clients, go)
    go.set()
    for client in clients:
        client.close()


def assert_unknown(answer: httpx.Response) -> None:
    problem = {"field": "", "message": "no such session or call"}
    assert (answer.status_code, answer.json()) == (404, {"problems": [problem], "code": "not_found"})


def test_another_user_sees_no_session_and_stops_no_call(two):
    event = two.join(two.ada).json()["event_id"]
    call = two.ada.post(f"{API}/call/generate", json={"data": [{"layout": fruit(2, prompt=SECRET)}]}).json()["event_id"]
    for stranger in (
        two.bob.get(f"{API}/queue/data", params={"session_hash": SESSION}),
        two.join(two.bob),
        two.bob.get(f"{API}/heartbeat/{SESSION}"),
        two.bob.post(f"{API}/cancel", json={"session_hash": SESSION, "fn_index": 0, "event_id": event}),
        two.bob.post(f"{API}/cancel", json={"session_hash": "bob", "fn_index": 0, "event_id": event}),
        two.bob.post(f"{API}/reset", json={"event_id": event}),
        two.bob.get(f"{API}/call/generate/{call}"),
        two.bob.get(f"{API}/call/validate/{event}"),
        two.bob.get(f"{API}/queue/data", params={"session_hash": call}),
        two.bob.get(f"{API}/queue/data", params={"session_hash": "nobody-s"}),
        two.bob.get(f"{API}/call/generate/{'0' * 32}"),
    ):
        assert_unknown(stranger)
    two.go.set()
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(two.ada.get, f"{API}/queue/data", params={"session_hash": SESSION})
        own = pool.submit(two.ada.get, f"{API}/call/generate/{call}")
        assert SECRET in stream.result().text
        assert "process_completed" in stream.result().text
        assert "event: complete" in own.result().text
    two.join(two.bob, "bob-s_session", data=[fruit()], fn_index=1)
    told = two.bob.get(f"{API}/queue/data", params={"session_hash": "bob-s_session"}).text
    assert "process_completed" in told
    assert SECRET not in told


def gradio_routes(routes) -> set[tuple[str, str]]:
    """Method and path of everything that gradio mounts."""
    found = set()
    for route in routes:
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(route, "methods"):
            found |= {(method, route.path) for method in route.methods or ()}
        elif hasattr(inner, "routes"):
            found |= gradio_routes(inner.routes)
    return found


def test_no_path_of_gradio_shows_another_user_anything(two, plain):
    """All that gradio mounts, with ada's session and call wherever something can be named."""
    from occlusionformer.apps.studio.gradio_calls import gradio_app

    routes = gradio_routes(gradio_app(plain.studio.service, "").routes)
    assert len(routes) > 60
    assert {("GET", f"{API}/queue/data"), ("POST", f"{API}/upload"), ("GET", "/config")} <= routes
    event = two.join(two.ada).json()["event_id"]
    open_to_all = {("GET", "/config"), ("GET", f"{API}/info"), ("GET", "/")}
    for method, path in sorted(routes - open_to_all):
        for name in (SESSION, event):
            target = re.sub(r"\{[^}]+\}", name, path)
            body = {"session_hash": name, "event_id": event, "fn_index": 0, "data": []}
            answer = two.bob.request(
                method, target, params={"session_hash": name, "event_id": event},
                json=body if method == "POST" else None,
            )  # fmt: skip
            assert answer.status_code in (404, 405), (method, target, answer.status_code)
            assert SECRET not in answer.text
    two.go.set()
    assert SECRET in two.ada.get(f"{API}/queue/data", params={"session_hash": SESSION}).text


def test_names_are_bounded_and_never_shared():
    sessions = GradioSessions(most_of_one=2)
    for name in ("one", "two", "three"):
        sessions.hold("ada", name)
    with pytest.raises(ApiError, match="no such session or call"):
        sessions.check_held("ada", "one")
    sessions.hold("bob", "one")
    assert sessions.inner_name("ada", "one") != sessions.inner_name("bob", "one")
    for owner, name in (("ada", "one"), ("bob", "two")):
        with pytest.raises(ApiError, match="no such session or call"):
            sessions.hold(owner, name)


def test_headers_of_a_client_tell_gradio_nothing(two):
    """Neither another user's name nor another address of the server."""
    forged = {"X-Occlusionformer-Owner": "ada", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    config = two.bob.get("/config", headers=forged)
    assert config.status_code == 200
    assert "evil" not in json.dumps(config.json())
    job = two.ada.post("/api/generate", json={"layout": fruit(1)}).json()["job"]
    two.bob.post(f"{API}/queue/join", headers=forged, json={"data": [job], "fn_index": 4, "session_hash": "b"})
    told = two.bob.get(f"{API}/queue/data", params={"session_hash": "b"}, headers=forged).text
    assert "no such job" in told
    two.go.set()
