"""Rate limits: a token bucket for every client and kind of request."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["generate", "compute", "read"]
"""Kinds of requests: starting a job, computing, and all others."""


@dataclass(frozen=True)
class Rate:
    """Size of a token bucket, and tokens added per second."""

    burst: float
    per_second: float


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The rate of each kind of request."""

    generate: Rate = Rate(20, 1.0)
    """A device draws far less than one picture a second for one person."""
    compute: Rate = Rate(60, 20.0)
    """Validating while a box is dragged asks several times a second."""
    read: Rate = Rate(600, 100.0)
    """A result with 64 instances is fetched in more than a hundred requests at once."""
    wrong_password: Rate = Rate(4, 0.1)
    """Per user and address."""


class RateLimiter:
    """Token buckets by client and kind; those not used for longest are dropped first."""

    def __init__(
        self, rates: Rates, *, most_clients: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rates = rates
        self._most = most_clients
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, client: str, kind: str) -> float:
        """Take a token. Returns 0, or the seconds until the next token if there is none."""
        rate: Rate = getattr(self.rates, kind)
        with self._lock:
            left = self._left(client, kind)
            wait = (1.0 - left) / rate.per_second if left < 1.0 else 0.0
            self._keep(client, kind, left if wait else left - 1.0)
        return wait

    def give_back(self, client: str, kind: str) -> None:
        """Return a token that was taken."""
        with self._lock:
            self._keep(client, kind, self._left(client, kind) + 1.0)

    def _left(self, client: str, kind: str) -> float:
        rate: Rate = getattr(self.rates, kind)
        left, then = self._buckets.get((client, kind), (rate.burst, self._clock()))
        return min(rate.burst, left + (self._clock() - then) * rate.per_second)

    def _keep(self, client: str, kind: str, left: float) -> None:
        self._buckets[client, kind] = (left, self._clock())
        self._buckets.move_to_end((client, kind))
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
