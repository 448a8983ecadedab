"""Fair shares: places in the queue, workers, and requests at one time, so that no client takes what is there for all.

A client is a user, or an address where there are no users.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.job import Job

MOST_AT_ONCE = 256
"""Requests that are being answered, open event streams included."""

MOST_OF_ONE = 64

WORKERS = 2
"""Threads that check, convert and cut out."""


class FairQueue:
    """Waiting jobs; clients take turns, and each client's own come in their order. Its owner holds a lock."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._of: OrderedDict[str, deque[Job]] = OrderedDict()
        """By client; the first is the next one."""

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __contains__(self, job: Job) -> bool:
        return job in self._of.get(job.client, ())

    def __iter__(self) -> Iterator[Job]:
        """In the order in which they will be drawn."""
        for turn in range(max(map(len, self._of.values()), default=0)):
            for jobs in self._of.values():
                if turn < len(jobs):
                    yield jobs[turn]

    def problem(self, client: str) -> str | None:
        """Why a client may add no job. Nobody holds more places than are left for others."""
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
        """The next; whoever has more of them waits for the others' turns."""
        client, jobs = next(iter(self._of.items()))
        job = jobs.popleft()
        if jobs:
            self._of.move_to_end(client)
        else:
            del self._of[client]
        return job


class Turns:
    """A few workers for all; each client has one of them at a time, so that the others are never far behind."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._workers = asyncio.Semaphore(workers)
        self._own: dict[str, asyncio.Lock] = {}
        self._wanting: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for it."""
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
    """Requests that are being answered, by client."""

    def __init__(self, most: int = MOST_AT_ONCE, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._now: Counter[str] = Counter()

    @contextmanager
    def one_more(self, client: str) -> Iterator[None]:
        """Raises ApiError when there are too many: rate_limited for those of this client, busy for those of all."""
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
