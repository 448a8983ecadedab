"""The job queue: one job is drawn at a time, a limited number waits, others are refused."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from occlusionformer.apps.studio.catalogue import Catalogue, ModelFailedError
from occlusionformer.apps.studio.errors import ApiError, FieldProblem, problems_of_lines
from occlusionformer.apps.studio.finished_jobs import FinishedJobs, Retention
from occlusionformer.apps.studio.job import Job, JobResult, JobState
from occlusionformer.apps.studio.pictures import keep_picture, keep_preview
from occlusionformer.apps.studio.schemas import GenerateBody, JobRequest, canvas_problems
from occlusionformer.apps.studio.shares import FairQueue
from occlusionformer.generation import (
    FormingPictures,
    GeneratedImage,
    GenerationInterruptedError,
    Generator,
    PreviewingGenerator,
)

logger = logging.getLogger(__name__)

REMEMBERED_DURATIONS = 20
FIRST_GUESS_SECONDS = 5.0
"""Assumed duration of a job before any has been drawn, for Retry-After."""


class JobQueue:
    """Waiting, running and finished jobs; one thread draws them, clients taking turns."""

    def __init__(self, catalogue: Catalogue, *, capacity: int, retention: Retention, job_seconds: float) -> None:
        self.catalogue = catalogue
        self._changed = threading.Condition()
        self._waiting = FairQueue(capacity)
        self._running: Job | None = None
        self._finished = FinishedJobs(retention)
        self._durations: deque[float] = deque(maxlen=REMEMBERED_DURATIONS)
        self._job_seconds = job_seconds
        self._closing = False
        self._idle_since: float | None = None
        self._thread = threading.Thread(target=self._work, name="studio-device", daemon=True)

    def start(self) -> None:
        """Load the first model, then draw."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Cancel all jobs and wait for the current step. Returns whether it ended in time."""
        with self._changed:
            self._closing = True
            for job in (*self._waiting, *((self._running,) if self._running else ())):
                self._stop(job)
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def submit(self, request: JobRequest, owner: str, client: str) -> Job:
        """Add a job. Raises ApiError if the queue or the client's share is full, or the model cannot draw this."""
        if self.catalogue.status(request.model) == "failed":
            raise ApiError("model_failed", [FieldProblem("model", f"{request.model} could not be loaded")])
        if problems := canvas_problems(request, self.catalogue.defaults(request.model)):
            raise ApiError("invalid", problems)
        job = Job(request=request, model=request.model, owner=owner, client=client)
        with self._changed:
            problem = "the server is stopping" if self._closing else self._waiting.problem(client)
            if problem:
                raise ApiError("queue_full", problem, retry_after=self._next_place(client))
            self._waiting.add(job)
            self._changed.notify_all()
        return job

    def find(self, job_id: str, owner: str) -> Job:
        """Raises ApiError for a job that is unknown, expired, or of another owner."""
        with self._changed:
            running = [self._running] if self._running else []
            for job in (*running, *self._waiting):
                if job.id == job_id and job.owner == owner:
                    return job
            job_found = self._finished.get(job_id)
        if job_found is None or job_found.owner != owner:
            raise ApiError("not_found", "no such job, or its result has expired")
        return job_found

    def cancel(self, job: Job) -> None:
        """Cancel a waiting job at once, the running one by the end of its next step."""
        with self._changed:
            self._stop(job)

    def listen(self, job: Job, listener: Callable[[], None]) -> None:
        """Call the listener whenever the state of the job changes, from any thread."""
        with self._changed:
            job.listeners.add(listener)

    def leave(self, job: Job, listener: Callable[[], None]) -> int:
        """Remove a listener. Returns how many are left."""
        with self._changed:
            job.listeners.discard(listener)
            return len(job.listeners)

    def counts(self) -> dict[str, int]:
        with self._changed:
            return {
                "running": int(self._running is not None),
                "waiting": len(self._waiting),
                "capacity": self._waiting.capacity,
            }

    def place(self, job: Job) -> tuple[int, float | None]:
        """Number of jobs ahead of this one and the estimated seconds they take; 0 and None once it is running."""
        with self._changed:
            if job not in self._waiting:
                return 0, None
            ahead = list(self._waiting).index(job)
            running = self._running is not None
            return ahead + running, self._seconds_for(ahead) if self._durations else None

    def expires_in(self, job: Job) -> float:
        with self._changed:
            return self._finished.expires_in(job.id) if self._finished.get(job.id) else 0.0

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last job ended or the first model was loaded; 0 while there is work."""
        with self._changed:
            busy = self._running is not None or self._waiting or self._idle_since is None
            return 0.0 if busy or self._idle_since is None else time.monotonic() - self._idle_since

    @property
    def kept_bytes(self) -> int:
        with self._changed:
            return self._finished.num_bytes

    def _seconds_for(self, ahead: int) -> float:
        """Estimated seconds until the running job and `ahead` waiting ones have ended."""
        mean = sum(self._durations) / len(self._durations) if self._durations else FIRST_GUESS_SECONDS
        left = self._running.seconds_left() if self._running else 0.0
        return (mean if left is None else left) + ahead * mean

    def _next_place(self, client: str) -> float:
        """Estimated seconds until the next job of this client starts, or any job if it has none."""
        own = (ahead for ahead, job in enumerate(self._waiting) if job.client == client)
        return self._seconds_for(next(own, 0))

    def _stop(self, job: Job) -> None:
        """The lock must be held."""
        if job in self._waiting:
            self._waiting.remove(job)
            job.end("cancelled")
            self._finished.add(job)
            self._tell_waiting()
        elif not job.state.ended:
            job.stopping = True

    def _tell_waiting(self) -> None:
        for job in self._waiting:
            job.tell()

    def _work(self) -> None:
        try:
            self.catalogue.generator(self.catalogue.default)
        except ModelFailedError:
            logger.exception("the first model could not be loaded")
        self._idle_since = time.monotonic()
        while (job := self._next()) is not None:
            self._finish(job, *self._outcome(job))
            del job  # a result that is forgotten must not live on here

    def _next(self) -> Job | None:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            if self._closing:
                return None
            job = self._running = self._waiting.pop()
            job.started = time.monotonic()
            job.change(status="running")
            self._tell_waiting()
            return job

    def _outcome(self, job: Job) -> tuple[JobState, JobResult | None]:
        """Draw the job; every exception becomes its final state."""
        try:
            return JobState(status="done"), self._draw(job)
        except GenerationInterruptedError:
            if not job.overdue:
                return JobState(status="cancelled"), None
            problems: tuple[FieldProblem, ...] = (FieldProblem("", self._too_long()),)
        except ModelFailedError as error:
            logger.exception("a model could not be loaded")
            problems = (FieldProblem("model", str(error)),)
        except ApiError as error:
            problems = error.problems
        except ValueError as error:
            lines = getattr(error, "problems", None) or str(error).splitlines() or ["the model refused the request"]
            problems = tuple(problems_of_lines(lines, GenerateBody.model_fields))
        except Exception as error:  # models of other packages may raise anything
            logger.exception("a job failed")
            no_memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
            text = "not enough memory for this picture" if no_memory else f"the model failed ({type(error).__name__})"
            problems = (FieldProblem("", text),)
        _free_memory()
        return JobState(status="failed", problems=problems), None

    def _draw(self, job: Job) -> JobResult:
        request = job.request
        assert request is not None
        generator = self.catalogue.generator(request.model)
        if problems := canvas_problems(request, self.catalogue.defaults(request.model)):
            raise ApiError("invalid", problems)
        with self._changed:
            job.drawing_since = time.monotonic()
        drawn = self._generate(generator, job, request)
        pictures = tuple(keep_picture(each, request.model) for each in drawn)
        ids = tuple(instance.id for instance in request.requests[0].layout.instances)
        timings = {name: round(seconds, 4) for name, seconds in (drawn[0].timings if drawn else {}).items()}
        size = sum(picture.num_bytes for picture in pictures)
        return JobResult(pictures=pictures, instance_ids=ids, timings=timings, num_bytes=size)

    def _generate(self, generator: Generator, job: Job, request: JobRequest) -> list[GeneratedImage]:
        def on_step(step: int, total: int) -> bool:
            with self._changed:
                job.overdue = job.drawn_for > self._job_seconds and step < total
                if not job.stopping and not job.overdue:
                    job.change(step=step, total=total)
                return not job.stopping and not job.overdue

        def on_preview(forming: FormingPictures) -> None:
            if not job.stopping and request.shows(forming.step, forming.total):
                preview = keep_preview(forming)
                with self._changed:
                    job.change(preview=preview)

        if job.stopping:
            raise GenerationInterruptedError(0, 0)
        if isinstance(generator, PreviewingGenerator) and request.wants_previews:
            return generator.generate_watched(request.requests, on_step=on_step, on_preview=on_preview)
        return generator.generate(request.requests, on_step=on_step)

    def _too_long(self) -> str:
        return f"expected a job of at most {self._job_seconds:g} seconds: ask for fewer pictures, steps or pixels"

    def _finish(self, job: Job, state: JobState, result: JobResult | None) -> None:
        with self._changed:
            self._running = None
            self._idle_since = time.monotonic()
            stopped_late = job.stopping and state.status == "done"
            job.result = None if stopped_late else result
            if job.started is not None and state.status == "done":
                self._durations.append(time.monotonic() - job.started)
            job.end("cancelled" if stopped_late else state.status, problems=state.problems)
            self._finished.add(job)
            self._tell_waiting()


def _free_memory() -> None:
    """Free memory after a failed job: reference cycles of tracebacks, and cached accelerator memory."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
