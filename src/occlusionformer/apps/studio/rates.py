"""How often a client may come: a bucket of tokens each, filled again as time goes by."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """Requests a client may make at once, and how many more each second brings."""

    burst: float
    per_second: float


@dataclass(frozen=True, kw_only=True)
class Rates:
    """For each kind of request."""

    generate: Rate = Rate(20, 1.0)
    """A device draws far less than one picture a second for one person."""
    compute: Rate = Rate(60, 20.0)
    """Validating while a box is dragged asks several times a second."""
    read: Rate = Rate(600, 100.0)
    """A result with 64 instances is fetched in more than a hundred requests at once."""
    wrong_password: Rate = Rate(10, 0.2)


class RateLimiter:
    """Buckets by client and kind; those longest unused are forgotten first."""

    def __init__(
        self, rates: Rates, *, most_clients: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rates = rates
        self._most = most_clients
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, client: str, kind: str) -> float:
        """0 when the request is within the rate, else the seconds until the next one is."""
        return self._spend(client, kind, 1.0)

    def waiting(self, client: str, kind: str) -> float:
        """The same, without counting the question."""
        return self._spend(client, kind, 0.0)

    def _spend(self, client: str, kind: str, tokens: float) -> float:
        rate: Rate = getattr(self.rates, kind)
        with self._lock:
            now = self._clock()
            left, then = self._buckets.pop((client, kind), (rate.burst, now))
            left = min(rate.burst, left + (now - then) * rate.per_second)
            wait = (1.0 - left) / rate.per_second if left < 1.0 else 0.0
            self._buckets[client, kind] = (left if wait else left - tokens, now)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return wait
