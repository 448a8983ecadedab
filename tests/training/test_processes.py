"""However a batch is divided, it is the same batch: one process, several parts, several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (
    "import sys\n"
    "from pathlib import Path\n"
    "from tests.training.runs import tiny_config\n"
    "from occlusionformer.training.trainer import Trainer\n"
    "config = tiny_config('execution.device=cpu', 'logging.every=1', *sys.argv[2:])\n"
    "Trainer(config, Path(sys.argv[1])).run()\n"
)
SETTINGS = ("steps=8", "data.count=24", "data.dropped_order=0.3", "optimizer.warmup=2")

TOLERANCE = 2e-4
"""Relative, after eight steps at a high rate: sums are taken in another order, and training magnifies rounding."""


def launch(folder: Path, processes: int, *settings: str) -> list[dict]:
    """The log of a run on some processes of this machine, joined by gloo."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "OMP_NUM_THREADS": "1",
    }
    started = []
    for rank in range(processes):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), **shared} if processes > 1 else {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", COMMAND, str(folder), *SETTINGS, *settings]
        started.append(subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE))
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, errors[0].decode()[-2000:]
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def curve(log: list[dict], name: str) -> list[float]:
    return [line[name] for line in log if name in line]


@pytest.mark.slow
def test_two_processes_with_accumulation_learn_as_one_process_does(tmp_path: Path):
    alone = launch(tmp_path / "alone", 1)
    together = launch(tmp_path / "together", 2, "execution.accumulate=2")
    for name in ("flow", "align", "gradient_norm"):
        assert len(curve(alone, name)) == 8
        assert curve(together, name) == pytest.approx(curve(alone, name), rel=TOLERANCE)
    assert curve(alone, "flow")[-1] < curve(alone, "flow")[0]
