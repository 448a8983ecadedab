"""Finished jobs, kept for a limited time and in limited memory, with a fair share for every client."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from occlusionformer.apps.studio.job import Job


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Limits on what is kept."""

    jobs: int = 256
    num_bytes: int = 256 * 1024 * 1024
    seconds: float = 1800.0


class FinishedJobs:
    """Not thread-safe: the job queue holds its lock around every call."""

    def __init__(self, retention: Retention, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.retention = retention
        self._clock = clock
        self._jobs: OrderedDict[str, tuple[Job, float]] = OrderedDict()
        self._num_bytes = 0

    @property
    def num_bytes(self) -> int:
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Add a job, and drop others if necessary. The newest stays even if it exceeds the limits alone."""
        self._jobs[job.id] = (job, self._clock())
        self._num_bytes += _size(job)
        self.sweep()

    def get(self, job_id: str) -> Job | None:
        self.sweep()
        entry = self._jobs.get(job_id)
        return None if entry is None else entry[0]

    def expires_in(self, job_id: str) -> float:
        return self._jobs[job_id][1] + self.retention.seconds - self._clock()

    def sweep(self) -> None:
        """Drop what is too old, then the oldest jobs of the client that holds most, until the limits are met."""
        while self._jobs:
            job, since = next(iter(self._jobs.values()))
            if self._clock() - since <= self.retention.seconds:
                break
            self._forget(job)
        while len(self._jobs) > 1 and self._num_bytes > self.retention.num_bytes:
            self._forget(self._oldest_of_greatest(_size))
        while len(self._jobs) > 1 and len(self._jobs) > self.retention.jobs:
            self._forget(self._oldest_of_greatest(lambda job: 1))

    def _oldest_of_greatest(self, weight: Callable[[Job], int]) -> Job:
        """The oldest job of the client with the greatest total weight; the newest job of all is left out."""
        *older, newest = (job for job, _ in self._jobs.values())
        weights: Counter[str] = Counter()
        for job in (*older, newest):
            weights[job.client] += weight(job)
        greatest = max((job.client for job in older), key=weights.__getitem__)
        return next(job for job in older if job.client == greatest)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        self._num_bytes -= _size(job)


def _size(job: Job) -> int:
    return 0 if job.result is None else job.result.num_bytes
