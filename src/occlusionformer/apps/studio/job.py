"""One job: what is to be drawn, for whom, and how far it has come."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from occlusionformer.apps.studio.errors import FieldProblem
from occlusionformer.apps.studio.pictures import Picture, Preview
from occlusionformer.apps.studio.schemas import JobRequest

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class JobState:
    """How a job stands at one moment; a new value for every change."""

    status: Status = "queued"
    step: int = 0
    total: int | None = None
    preview: Preview | None = None
    problems: tuple[FieldProblem, ...] = ()

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a job made."""

    pictures: tuple[Picture, ...]
    instance_ids: tuple[str, ...]
    timings: dict[str, float]
    num_bytes: int


@dataclass(eq=False, kw_only=True)
class Job:
    """Changed by the queue alone, under its lock."""

    request: JobRequest | None
    """Gone once the job has ended."""
    model: str
    owner: str
    """Name of the user, empty where there are none."""
    client: str = ""
    """Whose share of the queue it takes."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: JobState = field(default_factory=JobState)
    result: Result | None = None
    stopping: bool = False
    overdue: bool = False
    """Whether it was stopped because it took too long."""
    created: float = field(default_factory=time.monotonic)
    started: float | None = None
    drawing_since: float | None = None
    """When the first step began, or the last step of a preceding batch ended: the model may load before."""
    ended: float | None = None
    listeners: set[Callable[[], None]] = field(default_factory=set)

    def change(self, **fields: Any) -> None:
        """A new state, told to all who listen."""
        self.state = replace(self.state, **fields)
        self.tell()

    def tell(self) -> None:
        for listener in tuple(self.listeners):
            listener()

    def end(self, status: Status, *, problems: tuple[FieldProblem, ...] = ()) -> None:
        """Keeps nothing but the outcome."""
        self.request = None
        self.ended = time.monotonic()
        self.change(status=status, problems=problems, preview=None)

    @property
    def drawn_for(self) -> float:
        """Seconds."""
        return 0.0 if self.drawing_since is None else time.monotonic() - self.drawing_since

    def seconds_left(self) -> float | None:
        """From the pace so far; None before the first step is over."""
        state = self.state
        if state.status != "running" or self.drawing_since is None or not state.step or state.total is None:
            return None
        pace = self.drawn_for / state.step
        return pace * (state.total - state.step)
