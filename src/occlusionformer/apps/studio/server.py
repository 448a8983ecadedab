"""Building a studio from its configuration, and running it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from occlusionformer.apps.studio.access import Access, is_loopback, names_of
from occlusionformer.apps.studio.application import studio_application
from occlusionformer.apps.studio.authority import Authority
from occlusionformer.apps.studio.catalogue import Catalogue
from occlusionformer.apps.studio.finished_jobs import Retention
from occlusionformer.apps.studio.job_queue import JobQueue
from occlusionformer.apps.studio.lazy_app import LazyApplication
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.apps.studio.listening import ConnectionLimits, checked_proxies, checked_root_path, listening_socket
from occlusionformer.apps.studio.rates import RateLimiter, Rates
from occlusionformer.apps.studio.service import Service
from occlusionformer.apps.studio.users_file import read_users_file
from occlusionformer.generation import Generator, load_generator

QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
}
"""Environment variables that gradio and huggingface_hub read when they are imported."""

CLOSING_SECONDS = 10.0
"""Longest wait for the current step when the server stops."""

UNHURRIED = 3.0
"""Idle seconds after which gradio is imported."""


class UnsafeHostError(ValueError):
    """A server that other machines could reach, without a users file."""


@dataclass(frozen=True, kw_only=True)
class StudioConfig:
    """Configuration of a studio."""

    models: Sequence[str] = ("embedded",)
    host: str = "127.0.0.1"
    port: int = 7860
    auth_file: Path | None = None
    allowed_hosts: Sequence[str] = ()
    """Further host names of the server, such as that of a proxy in front of it."""
    proxies: Sequence[str] = ()
    """Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted."""
    root_path: str = ""
    """Path under which a proxy serves the studio, such as `/studio`."""
    max_queue: int = 16
    limits: StudioLimits = field(default_factory=StudioLimits)
    rates: Rates = field(default_factory=Rates)
    retention: Retention = field(default_factory=Retention)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    grace: float = 30.0
    """Seconds until a job that nobody listens to any more is cancelled."""
    serves_gradio: bool = True
    """Whether gradio's protocol is served too."""

    def authority(self) -> Authority | None:
        """Raises UnsafeHostError if a users file is needed, AuthFileError if it cannot be used."""
        if self.auth_file is not None:
            return Authority(read_users_file(self.auth_file))
        if not is_loopback(self.host):
            raise UnsafeHostError(f"host: expected a loopback address, or --auth-file, got {self.host!r}")
        return None


@dataclass(frozen=True, kw_only=True)
class Studio:
    """The application and the queue behind it."""

    config: StudioConfig
    application: FastAPI
    service: Service

    @property
    def queue(self) -> JobQueue:
        return self.service.queue


def build_studio(config: StudioConfig, *, load: Callable[[str], Generator] = load_generator) -> Studio:
    """Raises ValueError for a configuration that cannot be served."""
    authority = config.authority()
    root_path = checked_root_path(config.root_path)
    checked_proxies(config.proxies)
    queue = JobQueue(
        Catalogue(config.models, load=load),
        capacity=config.max_queue,
        retention=config.retention,
        job_seconds=config.limits.job_seconds,
    )
    service = Service(queue, config.limits, grace=config.grace, root_path=root_path)
    os.environ.update(QUIET)

    def gradio() -> FastAPI:
        from occlusionformer.apps.studio.gradio_calls import gradio_app

        return gradio_app(service, root_path)

    access = Access(
        names=names_of(config.host, config.allowed_hosts),
        shown_as=config.allowed_hosts,
        any_address=not is_loopback(config.host),
        authority=authority,
        limiter=RateLimiter(config.rates),
    )
    lazy = LazyApplication(gradio, lambda: queue.idle_seconds > UNHURRIED) if config.serves_gradio else None
    application = studio_application(service, lazy, access=access, asks_for_user=authority is not None)
    return Studio(config=config, application=application, service=service)


class _Server(uvicorn.Server):
    """Starts the job queue with the server, and cancels all jobs before shutting down, so that event streams end."""

    def __init__(self, config: uvicorn.Config, queue: JobQueue) -> None:
        super().__init__(config)
        self._queue = queue

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._queue.start()  # loading a model slows down everything else

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._queue.close(0)
        await super().shutdown(sockets)


class StudioServer:
    """A studio with its listening socket. Raises ListeningError if that cannot be bound."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._socket = listening_socket(studio.config.host, studio.config.port)
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; then cancel all jobs and wait for the current step."""
        self._server = _Server(_server_config(self._studio), self._studio.queue)
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._studio.queue.close(CLOSING_SECONDS)
            self._socket.close()

    @property
    def address(self) -> str:
        """Address of the server on this machine, without the root path."""
        host = self._studio.config.host
        host = "127.0.0.1" if host in ("0.0.0.0", "::", "localhost") else host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def url(self) -> str:
        """Address of the editor on this machine."""
        return f"{self.address}{checked_root_path(self._studio.config.root_path)}/"

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve in another thread; yields the address."""
        thread = threading.Thread(target=self.run, name="studio-server")
        thread.start()
        try:
            while not (self._server and self._server.started) and thread.is_alive():
                threading.Event().wait(0.01)
            yield self.address
        finally:
            if self._server is not None:
                self._server.should_exit = True
            thread.join()


def _server_config(studio: Studio) -> uvicorn.Config:
    """Settings of uvicorn. Its protocol is imported here, after the address has been printed."""
    from occlusionformer.apps.studio.connections import ConnectionGuard

    proxies = checked_proxies(studio.config.proxies)
    return uvicorn.Config(
        studio.application,
        http=ConnectionGuard(studio.config.connections.within_open_files()).protocol(),
        log_level="error",  # what a client sent wrong is no news
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),  # else a client could choose the address it is counted by
        forwarded_allow_ips=proxies,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
        ws="none",
    )
