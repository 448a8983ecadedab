"""Kills processes of a build at random moments, runs it again, and compares the data set with one built in peace.

    python benchmarks/data_engine_kills.py --executor ray --kills 10

Each kill takes a random process of the run: its driver, or a worker or actor of the cluster it started. A build that
ends before all kills are spent is followed by another into a new folder. Needs /proc.
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


def killed_build(plan: Path, out: Path, options: argparse.Namespace, dice: random.Random, most: int) -> Counter[str]:
    """Build until it is whole, killing up to so many processes on the way; what was killed, and `runs`."""
    counts: Counter[str] = Counter(runs=1)
    process, receipts = start(plan, out, options.executor), out / "engine" / "receipts"
    while True:
        seen = len(list(receipts.glob("*.json")))
        while process.poll() is None and counts.total() - counts["runs"] < most:
            if len(list(receipts.glob("*.json"))) > seen:
                time.sleep(dice.uniform(0, options.longest))
                kill_one(process.pid, dice, counts)
                break
            time.sleep(0.01)
        if counts.total() - counts["runs"] >= most:
            process.wait()
        if process.poll() == 0:
            return counts
        if process.poll() is not None:
            counts["runs"] += 1
            process = start(plan, out, options.executor)
        time.sleep(0.05)


def kill_one(driver: int, dice: random.Random, counts: Counter[str]) -> None:
    kinds: dict[str, list[int]] = {}
    for process, command in descendants(driver).items():
        kind = kind_of(process, command, driver)
        if kind is not None:
            kinds.setdefault(kind, []).append(process)
    if not kinds:
        return
    kind = dice.choice(sorted(kinds))
    try:
        os.kill(dice.choice(sorted(kinds[kind])), signal.SIGKILL)
    except ProcessLookupError:
        return
    counts[kind] += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--executor", choices=["local", "ray"], default="local")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds from the first new shard to a kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        plan, whole = Path(folder) / "plan.json", Path(folder) / "whole"
        plan.write_text(json.dumps(PLAN))
        start(plan, whole, "local").wait()
        killed: Counter[str] = Counter()
        same = []
        while killed.total() - killed["runs"] < options.kills:
            out = Path(folder) / f"killed-{len(same)}"
            killed += killed_build(plan, out, options, dice, options.kills - (killed.total() - killed["runs"]))
            same.append(data_set_hash(out) == data_set_hash(whole))
        runs = killed.pop("runs")
        result = {"executor": options.executor, "killed": killed, "data sets": len(same), "runs": runs}
        print(json.dumps({**result, "same as one built in peace": all(same)}))  # noqa: T201
        sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
