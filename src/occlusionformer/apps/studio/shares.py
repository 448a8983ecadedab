"""Fair shares of the queue, of the workers and of concurrent requests between clients.

A client is a user, or an address if the server has no users.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.job import Job

MOST_AT_ONCE = 256
"""Concurrent requests in all, open event streams included."""

MOST_OF_ONE = 64

WORKERS = 2
"""Concurrent tasks that check, convert and cut out."""


class FairQueue:
    """Waiting jobs: clients take turns, each client's jobs keep their order. Not thread-safe."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._of: OrderedDict[str, deque[Job]] = OrderedDict()
        """Jobs by client, in the order of their turns."""

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __contains__(self, job: Job) -> bool:
        return job in self._of.get(job.client, ())

    def __iter__(self) -> Iterator[Job]:
        """Jobs in the order in which they will be drawn."""
        for turn in range(max(map(len, self._of.values()), default=0)):
            for jobs in self._of.values():
                if turn < len(jobs):
                    yield jobs[turn]

    def problem(self, client: str) -> str | None:
        """Why a client may not add a job, or None: nobody may hold more places than are free."""
        held, free = len(self._of.get(client, ())), self.capacity - len(self)
        if free <= 0:
            return f"expected fewer than {self.capacity} jobs waiting"
        if held >= free:
            return f"expected a queue with more free places ({free} of {self.capacity}) than you hold ({held})"
        return None

    def add(self, job: Job) -> None:
        self._of.setdefault(job.client, deque()).append(job)

    def remove(self, job: Job) -> None:
        self._of[job.client].remove(job)
        if not self._of[job.client]:
            del self._of[job.client]

    def pop(self) -> Job:
        """Remove and return the next job; its client then goes to the end of the line."""
        client, jobs = next(iter(self._of.items()))
        job = jobs.popleft()
        if jobs:
            self._of.move_to_end(client)
        else:
            del self._of[client]
        return job


class Turns:
    """A limited number of workers, of which a client uses one at a time."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._workers = asyncio.Semaphore(workers)
        self._own: dict[str, asyncio.Lock] = {}
        self._wanting: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a worker and hold it."""
        own = self._own.setdefault(client, asyncio.Lock())
        self._wanting[client] += 1
        try:
            async with own, self._workers:
                yield
        finally:
            self._wanting[client] -= 1
            if not self._wanting[client]:
                del self._wanting[client], self._own[client]


class Concurrency:
    """Counts concurrent requests by client."""

    def __init__(self, most: int = MOST_AT_ONCE, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._now: Counter[str] = Counter()

    @contextmanager
    def one_more(self, client: str) -> Iterator[None]:
        """Count one request. Raises ApiError: `rate_limited` above the client's limit, `busy` above the total."""
        if self._now[client] >= self._most_of_one:
            text = f"expected at most {self._most_of_one} requests of one user at one time"
            raise ApiError("rate_limited", text, retry_after=1)
        if self._now.total() >= self._most:
            raise ApiError("busy", f"expected at most {self._most} requests at one time", retry_after=1)
        self._now[client] += 1
        try:
            yield
        finally:
            self._now[client] -= 1
            if not self._now[client]:
                del self._now[client]
