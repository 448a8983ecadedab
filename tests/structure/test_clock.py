"""Bounds on time fail what takes too long, allow a slow machine its time and leave the garbage collector as it was."""

from __future__ import annotations

import gc
import time

import pytest

from tests import clock
from tests.clock import bounded, machine_slowness


def spend(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def take(seconds: float, *, allowed: float) -> None:
    with bounded(allowed):
        spend(seconds)


def test_what_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, "machine_slowness", lambda: 1.0)
    with pytest.raises(AssertionError, match=r"^took 0\.\d\d s of processor time, expected less than 0\.02$"):
        take(0.05, allowed=0.02)
    with bounded(0.5):
        spend(0.01)
        time.sleep(0.6)


def test_a_slow_machine_gets_its_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, "REFERENCE", 1e-9)
    assert machine_slowness() == clock.MOST_SLOWNESS
    take(0.05, allowed=0.02)
    monkeypatch.setattr(clock, "REFERENCE", 1e9)
    assert machine_slowness() == 1


def test_objects_are_collected_again_afterwards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, "machine_slowness", lambda: 1.0)
    with bounded(1):
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    with pytest.raises(AssertionError):
        take(0.02, allowed=0.01)
    assert gc.get_freeze_count() == 0
