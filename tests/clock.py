"""Bounds on processor time that mean the same late in a long test run, and on a slow or busy machine."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REFERENCE = 0.003
"""Seconds that the machine the bounds were written on took for `_reference_work`."""

MOST_SLOWNESS = 8.0
"""A bound is never stretched further: what grows too fast takes minutes, not eight times as long."""


_imported_is_kept = False


def keep_imported() -> None:
    """Never look for garbage among what was imported to find all tests: that takes half a second each time."""
    global _imported_is_kept
    gc.freeze()
    _imported_is_kept = True


def imported_late(name: str) -> None:
    """Import a large library that few tests need, without looking for garbage in it meanwhile or later."""
    if name not in sys.modules:
        gc.disable()
        importlib.import_module(name)
        keep_imported()
        gc.enable()


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Fails when what it holds takes more processor time, on a machine as fast as the one the bound was written on.

    Objects that earlier tests left are kept from the garbage collector meanwhile: to look through them costs seconds
    late in a long process. After `keep_imported` they are so for good, as what was imported could not be told from
    them. A machine that counts more slowly, or a core that is shared, gets as much more time.
    """
    gc.freeze()
    started = time.process_time()
    try:
        yield
    finally:
        took = time.process_time() - started
        if not _imported_is_kept:
            gc.unfreeze()
    if took >= seconds:
        allowed = seconds * machine_slowness()
        assert took < allowed, f"took {took:.2f} s of processor time, expected less than {allowed:.2f}"


def seconds_of(pid: int) -> float:
    """That another process has computed so far, in all its threads; Linux alone tells it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_slowness() -> float:
    """How many times as long as `REFERENCE` this machine takes now; 1 for faster ones."""
    times = []
    for _ in range(5):
        started = time.process_time()
        _reference_work()
        times.append(time.process_time() - started)
    return min(max(1.0, sorted(times)[2] / REFERENCE), MOST_SLOWNESS)


def _reference_work() -> None:
    """What parsers do: small objects in lists and dictionaries."""
    found: dict[str, list[int]] = {}
    for number in range(20_000):
        found.setdefault(str(number % 997), []).append(number * number)
