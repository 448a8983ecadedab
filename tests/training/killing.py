"""Kill a short run at random moments, resume it each time, and compare its weights with an uninterrupted run's.

python -m tests.training.killing --kills 10
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
from pathlib import Path

from occlusionformer.training.checkpoint import load_checkpoint, newest_checkpoint

STEPS = 40
COMMAND = (
    "import sys\n"
    "from pathlib import Path\n"
    "from tests.training.runs import tiny_config\n"
    "from occlusionformer.training.trainer import Trainer\n"
    "config = tiny_config('batch=2', 'data.count=5', 'data.dropped_order=0.3', *sys.argv[2:])\n"
    "trainer = Trainer(config, Path(sys.argv[1]), resume=True)\n"
    "trainer.run()\n"
)


def start(folder: Path, *settings: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-c",
        COMMAND,
        str(folder),
        f"steps={STEPS}",
        "saving.every=2",
        "logging.every=1",
        *settings,
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})


def reached(folder: Path) -> int:
    """The step of the newest checkpoint, which must be readable; 0 without one."""
    newest = newest_checkpoint(folder / "checkpoints")
    return 0 if newest is None else load_checkpoint(newest).step


def kill_at_random(folder: Path, kills: int, rng: random.Random) -> list[int]:
    """Run to the end, killed `kills` times on the way, each time after some more steps; the steps reached."""
    found = []
    for number in range(kills):
        process = start(folder)
        wanted = 1 + STEPS * number // kills
        while process.poll() is None and last_line(folder) < wanted:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found.append(reached(folder))
    assert start(folder).wait() == 0
    return found


def last_line(folder: Path) -> int:
    """The last step in the log, which is written before the checkpoint is."""
    log = folder / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    try:
        return json.loads(lines[-1])["step"] if lines else 0
    except json.JSONDecodeError:
        return 0


def differing_files(one: Path, other: Path) -> list[str]:
    """Exported and checkpointed files of the last step that are not equal byte for byte."""
    names = [path.relative_to(one) for path in sorted(one.rglob("*.safetensors"))]
    last = f"step-{STEPS:09}"
    kept = [name for name in names if "checkpoints" not in name.parts or last in name.parts]
    assert any("checkpoints" in name.parts for name in kept)
    return [str(name) for name in kept if (one / name).read_bytes() != (other / name).read_bytes()]


def run(kills: int, seed: int) -> tuple[list[int], list[str]]:
    """Steps reached at each kill, and what differs in the end."""
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        assert start(whole).wait() == 0
        steps = kill_at_random(broken, kills, random.Random(seed))
        return steps, differing_files(whole, broken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    steps, different = run(arguments.kills, arguments.seed)
    print(json.dumps({"checkpoint_at_each_kill": steps, "of_steps": STEPS, "different_files": different}))  # noqa: T201
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
