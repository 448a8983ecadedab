"""A speaking judge behind an OpenAI-compatible server that has good and bad moments."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from occlusionformer.evaluation.judgement import JudgementError, JudgeUnavailableError
from occlusionformer.evaluation.judges.registry import load_judge
from occlusionformer.evaluation.judges.server import ServerConfig, ServerModel
from tests.evaluation.judges.tiny import picture, request

MODELS = {"data": [{"id": "qwen-7b", "root": "/models/qwen-7b-rev3"}]}
QUICK = ServerConfig(timeout=0.5, pause=0.01, retries=2)


class Server:
    """Answers chats with what it is told to, one after another; the last for good."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = [(200, reply("{}"))]
        self.models: object = MODELS
        self.heard: list[dict] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200 if self.path == "/v1/models" else 404, outer.models)

            def do_POST(self) -> None:
                outer.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                outer.keys.append(self.headers.get("Authorization"))
                status, answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if answer == "sleep":
                    time.sleep(0.8)
                self._send(status, answer)

            def _send(self, status: int, answer: object) -> None:
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.inner = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.inner.server_port}/v1"
        threading.Thread(target=self.inner.serve_forever, args=(0.02,), daemon=True).start()


def reply(content: object) -> dict:
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.inner.shutdown()
    server.inner.server_close()


def test_the_question_is_one_chat_with_text_first_and_the_whole_picture(server: Server):
    server.answers = [(200, reply('```json\n{"cat": [[1, 2, 3, 4]]}\n```'))]
    judge = load_judge(f"server:{server.address}")
    shown = picture(3)
    assert judge.judge(shown, request("detect")).answer == {"cat": [[1, 2, 3, 4]], "dog": []}
    chat = server.heard[0]
    assert chat["model"] == "qwen-7b"
    assert chat["temperature"] == 0.0
    assert chat["max_tokens"] == 1024
    text, image = chat["messages"][1]["content"]
    assert '["cat", "dog"]' in text["text"]
    sent = Image.open(io.BytesIO(base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,"))))
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(shown))
    assert judge.identity["model"] == "qwen-7b"
    assert judge.identity["revision"] == "/models/qwen-7b-rev3"
    assert judge.parallel == 16


def test_a_key_is_taken_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "some-key")
    load_judge(f"server:{server.address}#qwen-7b").judge(picture(), request("detect"))
    assert server.keys == ["Bearer some-key"]


@pytest.mark.parametrize("bad", [(500, b"oops"), (503, {}), (429, {}), (200, "sleep")], ids=lambda bad: str(bad))
def test_a_bad_moment_is_waited_out(bad: tuple[int, object], server: Server):
    server.answers = [bad, (200, reply("fine"))]
    assert ServerModel(server.address, config=QUICK).ask("?", picture()) == "fine"
    assert len(server.heard) == 2


@pytest.mark.parametrize(
    ("bad", "reason", "tries"),
    [
        ((500, b"oops"), "error", 3),
        ((200, "sleep"), "timeout", 3),
        ((400, {"error": "picture too large"}), "refused", 1),
        ((200, b"<html>"), "unreadable", 1),
        ((200, {"choices": []}), "unreadable", 1),
        ((200, reply(None)), "unreadable", 1),
        ((200, reply([{"text": "yes"}])), "unreadable", 1),
        ((200, []), "unreadable", 1),
    ],
    ids=lambda value: str(value),
)
def test_what_stays_bad_costs_the_question(bad: tuple[int, object], reason: str, tries: int, server: Server):
    server.answers = [bad]
    with pytest.raises(JudgementError) as error:
        ServerModel(server.address, config=QUICK).ask("?", picture())
    assert error.value.reason == reason
    assert len(server.heard) == tries


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_service_that_is_not_there_costs_the_judge(status: int, server: Server):
    server.answers = [(status, {})]
    with pytest.raises(JudgeUnavailableError, match=f"answered {status}"):
        ServerModel(server.address, config=QUICK).ask("?", picture())


def test_the_model_must_be_served(server: Server):
    with pytest.raises(JudgeUnavailableError, match=r"expected a model of \['qwen-7b'\], got 'qwen-32b'"):
        load_judge(f"server:{server.address}#qwen-32b")
    server.models = {"data": [{"id": "a"}, {"id": "b"}]}
    with pytest.raises(JudgeUnavailableError, match=r"expected #MODEL .* one of \['a', 'b'\]"):
        load_judge(f"server:{server.address}")
    for strange in ({}, [], {"data": [1]}, b"<html>"):
        server.models = strange
        with pytest.raises(JudgeUnavailableError):
            load_judge(f"server:{server.address}")


def test_no_server_makes_the_judge_unavailable():
    with pytest.raises(JudgeUnavailableError, match="ConnectError"):
        load_judge("server:http://127.0.0.1:9/v1")
    with pytest.raises(ValueError, match="expected server:http://HOST:PORT/v1, got 'server'"):
        load_judge("server")
