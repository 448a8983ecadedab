"""A run that is killed at any moment and begun again ends with the same result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.evaluation.running.standins import toy_benchmark

ROOT = Path(__file__).parents[3]
COUNT = 12
KILLS = 3
SCRIPT = """
import sys, time
from pathlib import Path
from occlusionformer.evaluation import Plan, evaluate
from tests.evaluation.running import standins

class Slow(standins.Looker):
    def judge(self, picture, request):
        time.sleep(0.01)
        return super().judge(picture, request)

class SlowPainter(standins.ShiftedPainter):
    def generate(self, requests, *, on_step=None):
        time.sleep(0.1)
        return super().generate(requests, on_step=on_step)

data, out = map(Path, sys.argv[1:])
print("begun", flush=True)
judges = (Slow(), standins.Sorter(), standins.Feeler())
evaluate(Plan(benchmark=standins.toy_benchmark(data), method=SlowPainter(), judges=judges), out)
"""


def begin(data: Path, out: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(data), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    _, problems = process.communicate(timeout=240)
    assert process.returncode == 0, problems


def document(out: Path) -> dict:
    """The result, without the state of the working tree."""
    found = json.loads((out / "result.json").read_text())
    del found["run"]["code"]
    return found


def written(out: Path) -> int:
    """How far a run has come: pictures and lines on the disk."""
    lines = sum(path.read_bytes().count(b"\n") for path in out.glob("*-0of1.jsonl"))
    return lines + len(list(out.glob("pictures/*.png")))


@pytest.mark.slow
def test_killing_and_going_on_changes_nothing(tmp_path: Path):
    toy_benchmark(tmp_path, COUNT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(begin(tmp_path, whole))
    moments = sorted(random.Random(time.time_ns()).sample(range(1, written(whole)), KILLS))
    for moment in moments:
        process = begin(tmp_path, killed)
        while written(killed) < moment and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    tear(killed)
    finish(begin(tmp_path, killed))
    assert document(killed) == document(whole), f"killed at {moments}"
    assert written(killed) == written(whole), f"killed at {moments}: something was done twice"


def tear(out: Path) -> None:
    """What a power cut leaves: half a line at the end."""
    for path in out.glob("judgements-*.jsonl"):
        with path.open("ab") as file:
            file.write(b'{"answer":{"cat":[[1,2,')
