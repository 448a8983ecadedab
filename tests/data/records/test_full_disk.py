"""Writers on a disk that is full at any byte: an OSError that names the file, and nothing left behind.

A limit on the size of files stands in for the disk: the system refuses to write on, as it does on a full one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, resource, shutil, sys
from pathlib import Path
from occlusionformer.data.records import DataSetMaker, shard_path, write_shard
from occlusionformer.data.records.staging import replaced
from occlusionformer.layout import write_atomic
from occlusionformer.training.checkpoint import Checkpoint, save_checkpoint
from tests.data.records.examples import picture, record
import torch

def shard(folder):
    write_shard(shard_path(folder, "train", 0), ((record(f"r{n}"), picture(n)) for n in range(16)))

def data_set(folder):
    DataSetMaker(folder / "set", records_per_shard=10).make((record(f"r{n}"), picture(n)) for n in range(30))

def staged(folder):
    with replaced(folder / "data" / "file") as file:
        for _ in range(30):
            file.write(b"x" * 1000)

def atomic(folder):
    write_atomic(folder / "data" / "file", b"x" * 30_000)

def checkpoint(folder):
    tensors = {name: {"a": torch.zeros(3000)} for name in ("weights", "averages")}
    save_checkpoint(folder / "data", Checkpoint(step=1, tensors=tensors, state={"text": "x" * 20_000}), keep=1)

def outcomes(action, root):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for size in [0, 1, 511, *range(1000, 60_000, 3000)]:
        folder = root / str(size)
        (folder / "data").mkdir(parents=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            action(folder)
            outcome = "done"
        except OSError as error:
            outcome = str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        left = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
        yield size, outcome, sorted(left)
        shutil.rmtree(folder)

root = Path(sys.argv[1])
writers = (shard, data_set, staged, atomic, checkpoint)
print(json.dumps({action.__name__: list(outcomes(action, root / action.__name__)) for action in writers}))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
def outcomes(root: Path) -> dict[str, list]:
    """For every writer what became of disks of many sizes, in a process whose limit is its own."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are POSIX")
@pytest.mark.parametrize("writer", ["shard", "data_set", "staged", "atomic", "checkpoint"])
def test_nothing_is_left_wherever_the_disk_ends(root: Path, outcomes: dict[str, list], writer: str):
    found = outcomes[writer]
    failed = [outcome for _, outcome, _ in found if outcome != "done"]
    assert 3 < len(failed) < len(found), found
    assert all(outcome == "done" or left == ["data"] for _, outcome, left in found), found
    assert all(outcome == "done" for size, outcome, _ in found if size > 50_000)
    assert all(str(root) in outcome for outcome in failed), failed
