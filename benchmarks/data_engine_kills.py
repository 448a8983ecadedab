"""Kills processes of a build at random moments, runs it again, and compares the data set with one built in peace.

    python benchmarks/data_engine_kills.py --executor ray --kills 10

Each kill takes a random process of the run: its driver, or a worker or actor of the cluster it started. Needs /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from occlusionformer.data.engine.building import data_set_hash

PLAN = {
    "name": "train",
    "source": {"kind": "scenes", "seed": 8, "count": 120, "size": 128},
    "stages": [{"stage": "clean", "min_side": 0.05}, {"stage": "filter", "min_instances": 1}],
    "shard_size": 2,
}


def start(plan: Path, out: Path, executor: str) -> subprocess.Popen[bytes]:
    """A build in a process of its own."""
    command = [sys.executable, "-m", "occlusionformer.apps.cli", "data", "build", str(plan), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--executor", executor, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def descendants(root: int) -> dict[int, str]:
    """Processes started by a process, itself included, with their command lines."""
    above: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                above[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {root}
    while new := {child for child, parent in above.items() if parent in found} - found:
        found |= new
    commands = {}
    for process in found:
        try:
            commands[process] = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return commands


def kind_of(process: int, command: str, driver: int) -> str | None:
    """What is killed; Ray's own servers are left to Ray."""
    if process == driver:
        return "driver"
    if "ray::MapWorker" in command or "ray::_MapWorker" in command:
        return "actor"
    return "worker" if command.startswith("ray::") else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--executor", choices=["local", "ray"], default="local")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds from the first new shard to a kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        plan, out, whole = Path(folder) / "plan.json", Path(folder) / "killed", Path(folder) / "whole"
        plan.write_text(json.dumps(PLAN))
        start(plan, whole, "local").wait()
        killed: Counter[str] = Counter()
        runs, process = 1, start(plan, out, options.executor)
        receipts = out / "engine" / "receipts"
        while killed.total() < options.kills or process.poll() is None:
            seen = len(list(receipts.glob("*.json")))
            while killed.total() < options.kills and process.poll() is None:
                if len(list(receipts.glob("*.json"))) > seen:
                    time.sleep(dice.uniform(0, options.longest))
                    candidates = {
                        each: kind_of(each, command, process.pid) for each, command in descendants(process.pid).items()
                    }
                    kinds = sorted({kind for kind in candidates.values() if kind})
                    kind = dice.choice(kinds)
                    victim = dice.choice(sorted(each for each, its in candidates.items() if its == kind))
                    os.kill(victim, signal.SIGKILL)
                    killed[kind] += 1
                    break
                time.sleep(0.01)
            if process.poll() is not None and (process.returncode != 0 or killed.total() < options.kills):
                if process.returncode == 0:
                    break
                runs, process = runs + 1, start(plan, out, options.executor)
            time.sleep(0.05)
        same = data_set_hash(out) == data_set_hash(whole)
        print(json.dumps({"executor": options.executor, "killed": killed, "runs": runs, "same data set": same}))  # noqa: T201
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
