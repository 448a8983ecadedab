"""The command `studio`: in this process where it refuses to serve, in one of its own where it serves."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.apps.conftest import Command
from tests.apps.studio.fake import fruit
from tests.clock import seconds_of

SLOWEST_PICTURE = 4.0
SLOWEST_FIRST_PICTURE = 10.0
"""Seconds of computing: on cores of one's own no less than those on the clock."""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "host: expected a loopback address, or --auth-file, got '0.0.0.0'"),
        (
            ["--model", "nothing"],
            "model: expected a local folder or one of (embedded, flux-dev, pipeline, run), got 'nothing'",
        ),
        (["--root-path", "studio"], "root-path: expected a path such as /studio, got 'studio'"),
        (["--proxy", "*"], "proxy: expected an address or a network such as 10.0.0.0/8, got '*'"),
        (["--model", "embedded", "--model", "embedded"], "model: expected at least one, and names that differ"),
    ],
)
def test_what_cannot_be_served_is_refused(run: Command, arguments, told):
    done = run("studio", *arguments, "--port", "0")
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_an_auth_file_is_read_first(run: Command, tmp_path):
    (tmp_path / "users").write_text("ada:secret")
    (tmp_path / "users").chmod(0o600)
    done = run("studio", "--host", "0.0.0.0", "--auth-file", tmp_path / "users")
    assert done.code == 2
    assert "auth-file: line 1" in done.err
    assert "secret" not in done.err
    missing = run("studio", "--auth-file", tmp_path / "none")
    assert missing.code == 2
    assert missing.err.startswith("auth-file: expected a file that can be read, got ")


def test_a_port_in_use_is_told_and_nothing_else():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "occlusionformer.apps.cli", "studio", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = f"port: expected a free one, got {port}, which another program listens on: choose another with --port\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


@contextmanager
def studio(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "occlusionformer.apps.cli", "studio", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://\S+:\d+\S*", line)
            assert found, line
            yield process, found[0]
        finally:
            process.kill()


def test_it_says_where_it_is():
    with studio("--root-path", "/tools/studio/") as (_, url):
        assert httpx.get(url.rpartition("/")[0] + "/api/health", timeout=20).status_code == 200
        assert url.endswith("/tools/studio/")


@pytest.mark.slow
def test_the_embedded_model_draws_in_time_and_stops_when_told():
    """From the page to the picture, with the model loaded meanwhile; then Ctrl-C in the middle of a job."""
    layout = fruit(7, width=256, height=256)
    with studio() as (process, url), httpx.Client(base_url=url, timeout=120) as client:
        opened = seconds_of(process.pid)
        assert client.get("/").status_code == 200
        first = draw(client, layout)
        assert seconds_of(process.pid) - opened < SLOWEST_FIRST_PICTURE
        before = seconds_of(process.pid)
        again = draw(client, layout)
        assert seconds_of(process.pid) - before < SLOWEST_PICTURE
        pngs = [client.get(result["images"][0]["png"]).content for result in (first, again)]
        assert pngs[0] == pngs[1]
        client.post("/api/generate", json={"layout": layout, "steps": 100, "images": 4})
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        assert [child for child in children if Path(f"/proc/{child}").exists()] == []


def draw(client: httpx.Client, layout: dict) -> dict:
    body = {"layout": layout, "want_masks": True, "want_weights": True}
    job = client.post("/api/generate", json=body).json()["job"]
    assert client.get(f"/api/jobs/{job}/events").text.count("event: preview") >= 1
    result = client.get(f"/api/jobs/{job}/result").json()
    assert result["images"][0]["weights"]["rows"] == 16
    return result


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found
