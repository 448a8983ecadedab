"""gradio's own client, and what else of gradio can be reached; and that nothing goes to other hosts.

Tests import gradio and its client, which takes seconds, and every process that looks for tests would wait for it.
"""

from __future__ import annotations

import io
import ipaddress
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from occlusionformer.apps.studio import server
from occlusionformer.layout import Layout
from tests.apps.studio.fake import FakeGenerator, fruit, pixels_for


@pytest.fixture
def asked_for(monkeypatch) -> list[str]:
    """Every host that is looked up or connected to in this process."""
    seen: list[str] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def watched_connect(self, address):
        seen.append(str(address[0]) if isinstance(address, tuple) else "localhost")
        return connect(self, address)

    def watched_look_up(host, *rest, **options):
        seen.append(host.decode() if isinstance(host, bytes) else str(host))
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", watched_connect)
    monkeypatch.setattr(socket, "getaddrinfo", watched_look_up)
    return seen


def client_of(url: str) -> Any:
    from gradio_client import Client

    return Client(url, verbose=False, httpx_kwargs={"timeout": 60})


def is_here(host: str) -> bool:
    return host in ("localhost", "None") or ipaddress.ip_address(host).is_loopback


def test_the_client_draws_checks_and_converts_and_nothing_leaves_this_machine(serve, asked_for):
    from gradio_client import exceptions

    studio = serve(FakeGenerator(seconds_per_step=0.02), serves_gradio=True)
    client = client_of(studio.url)
    states = list(client.submit({"layout": fruit(7), "images": 2}, api_name="/generate"))
    assert [state["status"] for state in states if "status" in state][-1] == "done"
    result = states[-1]
    for image in result["images"]:
        png = studio.client.get(image["png"]).content
        expected = pixels_for(Layout.model_validate(fruit(7)), image["seed"])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), expected)

    assert client.predict(fruit(), api_name="/validate")["relations"] == [["apple", "pear"]]
    converted = client.predict({"document": json.dumps(fruit()), "from": "native", "to": "sa-z", "lossy": True},
                               api_name="/convert")  # fmt: skip
    assert "apple" in converted["document"]
    assert client.predict(api_name="/models")["default"] == "embedded"
    with pytest.raises(exceptions.AppError, match=r"layout\.prompt: expected some text"):
        client.predict({"layout": fruit(prompt=" ")}, api_name="/generate")
    client.close()

    time.sleep(0.2)  # for threads that would phone home
    assert asked_for
    assert [host for host in asked_for if not is_here(host)] == []


def test_cancelling_a_call_stops_the_job(serve):
    generator = FakeGenerator(seconds_per_step=0.3)
    studio = serve(generator, serves_gradio=True)
    client = client_of(studio.url)
    job = client.submit({"layout": fruit(1), "steps": 100}, api_name="/generate")
    states = iter(job)
    running = next(state for state in states if state["status"] == "running")
    job.cancel()
    assert studio.wait_for(running["job"])["status"] == "cancelled"
    assert generator.steps_done < 50
    other = client.submit({"layout": fruit(1), "steps": 100}, api_name="/generate")
    running = next(state for state in iter(other) if state["status"] == "running")
    assert client.predict(running["job"], api_name="/cancel")["job"] == running["job"]
    assert studio.wait_for(running["job"])["status"] == "cancelled"
    client.close()


def test_gradio_reads_no_files_and_only_what_its_client_sends(serve):
    studio = serve(serves_gradio=True)
    file = {"path": "/etc/passwd", "url": "http://127.0.0.1:1/", "meta": {"_type": "gradio.FileData"}}
    join = {"data": [fruit()], "fn_index": 1, "session_hash": "abc"}
    for wrong in (
        {**join, "data": [{"layout": file}]}, {**join, "fn_index": 99}, {**join, "fn_index": "1"},
        {**join, "fn_index": True}, {**join, "session_hash": "a/b"}, {**join, "data": {}}, {**join, "data": [1, 2]},
        {"data": []}, [], 7,
    ):  # fmt: skip
        answer = studio.client.post("/gradio_api/queue/join", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), wrong
    assert studio.client.post("/gradio_api/call/nothing", json={"data": []}).status_code == 404
    assert studio.client.get("/gradio_api/queue/data").json()["code"] == "invalid"
    event = studio.client.post("/gradio_api/call/validate", json={"data": [fruit()], "oauth_token": "x"}).json()
    answer = studio.client.get(f"/gradio_api/call/validate/{event['event_id']}")
    assert "event: complete" in answer.text


def test_the_server_answers_while_gradio_is_made(serve, monkeypatch):
    """gradio takes seconds to import; the editor does not wait for it."""
    from occlusionformer.apps.studio import gradio_calls

    go, make = threading.Event(), gradio_calls.gradio_app

    def slowly(*given):
        assert go.wait(20)
        return make(*given)

    monkeypatch.setattr(gradio_calls, "gradio_app", slowly)
    studio = serve(serves_gradio=True)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.get, f"{studio.url}/config", timeout=30)
        assert studio.draw(layout=fruit(1))["images"][0]["seed"] == 1
        assert not waiting.done()
        go.set()
        assert waiting.result().status_code == 200


def test_gradio_is_made_when_there_is_time(serve, monkeypatch):
    """So that its client need not wait; but never while something is drawn."""
    made = threading.Event()
    from occlusionformer.apps.studio import gradio_calls

    make = gradio_calls.gradio_app
    monkeypatch.setattr(gradio_calls, "gradio_app", lambda *given: made.set() or make(*given))
    monkeypatch.setattr(server, "UNHURRIED", 0.2)
    go = threading.Event()
    studio = serve(FakeGenerator(before_step=lambda step: go.wait(20)), serves_gradio=True)
    job = studio.client.post("/api/generate", json={"layout": fruit(1)}).json()["job"]
    assert not made.wait(1.2)
    go.set()
    studio.wait_for(job)
    assert made.wait(10)
