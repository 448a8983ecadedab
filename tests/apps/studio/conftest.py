"""Studios that run: the real server on a free port, with a picture maker that needs no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import pytest

if find_spec("gradio") is None:  # not imported: that takes seconds
    pytest.skip("the studio is an extra of its own", allow_module_level=True)

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

from occlusionformer.apps.studio.rates import Rate, Rates
from occlusionformer.apps.studio.server import Studio, StudioConfig, StudioServer, build_studio
from tests.apps.studio.fake import FakeGenerator
from tests.clock import imported_late


def paths_of(app: FastAPI) -> Sequence[tuple[str, str]]:
    """Method and path of every route, in their order."""
    return [
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


UNLIMITED = Rates(generate=Rate(1e6, 1e6), compute=Rate(1e6, 1e6), read=Rate(1e6, 1e6))


@dataclass
class Running:
    """A studio, and a client that talks to it."""

    studio: Studio
    url: str
    client: httpx.Client

    def wait_for(self, job: str) -> dict:
        """The state of a job once it has ended: its events are read to their end."""
        with self.client.stream("GET", f"/api/jobs/{job}/events") as stream:
            stream.read()
        return self.client.get(f"/api/jobs/{job}").json()

    def draw(self, **body: object) -> dict:
        """The result of a job."""
        started = self.client.post("/api/generate", json=body)
        assert started.status_code == 202, started.text
        state = self.wait_for(started.json()["job"])
        assert state["status"] == "done", state
        return self.client.get(f"/api/jobs/{state['job']}/result").json()


Serve = Callable[..., Running]


@contextmanager
def serving() -> Iterator[Serve]:
    """Start studios; they stop at the end."""
    with ExitStack() as stack:

        def start(generator: object | None = None, load: Callable | None = None, **config: object) -> Running:
            if config.get("serves_gradio"):
                imported_late("gradio")
            given = {"port": 0, "rates": UNLIMITED, "serves_gradio": False, **config}
            maker = generator if generator is not None else FakeGenerator()
            studio = build_studio(StudioConfig(**given), load=load or (lambda spec: maker))
            url = stack.enter_context(StudioServer(studio).running())
            client = stack.enter_context(httpx.Client(base_url=url, timeout=20))
            return Running(studio, url, client)

        yield start


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.fixture(scope="session")
def plain() -> Iterator[Running]:
    """A studio for all tests that leave it as it was."""
    with serving() as start:
        yield start()
