"""One job: what is to be drawn, for whom, and how far it has come."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from occlusionformer.apps.studio.pictures import Picture, Preview
from occlusionformer.apps.studio.refusal import FieldProblem
from occlusionformer.apps.studio.wish import Wish

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class Standing:
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

    wish: Wish | None
    """Gone once the job has ended."""
    model: str
    owner: str
    """Name of the user, empty where there are none."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    standing: Standing = field(default_factory=Standing)
    result: Result | None = None
    stopping: bool = False
    created: float = field(default_factory=time.monotonic)
    started: float | None = None
    drawing_since: float | None = None
    """When the first step began, or the last step of a preceding batch ended: the model may load before."""
    ended: float | None = None
    listeners: set[Callable[[], None]] = field(default_factory=set)

    def change(self, **fields: Any) -> None:
        """A new standing, told to all who listen."""
        self.standing = replace(self.standing, **fields)
        self.tell()

    def tell(self) -> None:
        for listener in tuple(self.listeners):
            listener()

    def end(self, status: Status, *, problems: tuple[FieldProblem, ...] = ()) -> None:
        """Keeps nothing but the outcome."""
        self.wish = None
        self.ended = time.monotonic()
        self.change(status=status, problems=problems, preview=None)

    def seconds_left(self) -> float | None:
        """From the pace so far; None before the first step is over."""
        standing = self.standing
        if standing.status != "running" or self.drawing_since is None or not standing.step or standing.total is None:
            return None
        pace = (time.monotonic() - self.drawing_since) / standing.step
        return pace * (standing.total - standing.step)
