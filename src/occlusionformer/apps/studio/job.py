"""A drawing job: its request, its owner and its progress."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from occlusionformer.apps.studio.errors import FieldProblem
from occlusionformer.apps.studio.pictures import ResultPicture, UnfinishedPictures
from occlusionformer.apps.studio.schemas import JobRequest

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class JobState:
    """The state of a job at one moment; every change makes a new one."""

    status: Status = "queued"
    step: int = 0
    total: int | None = None
    preview: UnfinishedPictures | None = None
    problems: tuple[FieldProblem, ...] = ()

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """The result of a job."""

    pictures: tuple[ResultPicture, ...]
    instance_ids: tuple[str, ...]
    timings: dict[str, float]
    num_bytes: int


@dataclass(eq=False, kw_only=True)
class Job:
    """Changed only by the job queue, under its lock."""

    request: JobRequest | None
    """None once the job has ended."""
    model: str
    owner: str
    """Name of the user; empty if the server has no users."""
    client: str = ""
    """The client whose share of the queue it takes."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: JobState = field(default_factory=JobState)
    result: JobResult | None = None
    stopping: bool = False
    overdue: bool = False
    """Whether it was stopped for taking too long."""
    created: float = field(default_factory=time.monotonic)
    started: float | None = None
    drawing_since: float | None = None
    """Time when drawing began, after the model was loaded."""
    ended: float | None = None
    listeners: set[Callable[[], None]] = field(default_factory=set)

    def change(self, **fields: Any) -> None:
        """Replace fields of the state and notify the listeners."""
        self.state = replace(self.state, **fields)
        self.tell()

    def tell(self) -> None:
        for listener in tuple(self.listeners):
            listener()

    def end(self, status: Status, *, problems: tuple[FieldProblem, ...] = ()) -> None:
        """Set the final state and drop the request."""
        self.request = None
        self.ended = time.monotonic()
        self.change(status=status, problems=problems, preview=None)

    @property
    def drawn_for(self) -> float:
        """Seconds since drawing began."""
        return 0.0 if self.drawing_since is None else time.monotonic() - self.drawing_since

    def seconds_left(self) -> float | None:
        """Estimate from the steps so far; None before the first one is finished."""
        state = self.state
        if state.status != "running" or self.drawing_since is None or not state.step or state.total is None:
            return None
        pace = self.drawn_for / state.step
        return pace * (state.total - state.step)
