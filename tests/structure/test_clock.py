"""Bounds on time fail what takes too long, allow a slow machine its time and leave the garbage collector as it was."""

from __future__ import annotations

import gc
import subprocess
import sys
import time

import pytest

from tests import clock
from tests.clock import bounded, machine_slowness
from tests.structure.sources import ROOT


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


ALONE = """
import gc
from tests.clock import bounded, keep_imported
with bounded(1):
    assert gc.get_freeze_count() > 0
assert gc.get_freeze_count() == 0
try:
    with bounded(1):
        raise ValueError
except ValueError:
    assert gc.get_freeze_count() == 0
keep_imported()
with bounded(1):
    assert gc.get_freeze_count() > 0
assert gc.get_freeze_count() > 0
"""


def test_objects_are_collected_again_afterwards_unless_the_imported_ones_are_kept():
    subprocess.run([sys.executable, "-c", ALONE], check=True, cwd=ROOT)
    assert gc.get_freeze_count() > 0, "what was imported to find this test"
