"""Ray makes the same data set, whatever is killed. Each of these starts a cluster of its own on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.data.engine.test_building import LIGHT, built, files, light

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),  # importing it takes 3 s
    pytest.mark.skipif(os.name != "posix", reason="kills as POSIX systems do"),
]

RUN = """
import json, sys
from pathlib import Path
from occlusionformer.data.engine.building import build
from occlusionformer.data.engine.cluster import RayExecutor
from occlusionformer.data.engine.plan import parse_plan
build(parse_plan(json.loads(sys.argv[1])), base=Path(), out=Path(sys.argv[2]), executor=RayExecutor())
"""


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUN, json.dumps(LIGHT), str(out)], stderr=subprocess.DEVNULL)


def children(parent: int, word: str) -> list[int]:
    """Processes under a process whose command line has a word, as Linux lists them."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "stat").read_text().rpartition(")")[2].split()
                commands[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parents[int(folder.name)] = int(status[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    below, found = {parent}, []
    for _ in range(4):
        below |= {child for child, above in parents.items() if above in below}
    found = [process for process in below if word in commands.get(process, "")]
    return sorted(found)


def test_a_cluster_makes_the_same_files_though_an_actor_is_killed(tmp_path: Path):
    built(light(), tmp_path / "local")
    process = start(tmp_path / "ray")
    victims: list[int] = []
    while process.poll() is None and not victims:
        victims = children(process.pid, "ray::MapWorker")
        time.sleep(0.3)
    for victim in victims[:1]:
        os.kill(victim, signal.SIGKILL)
    assert process.wait(timeout=240) == 0
    assert files(tmp_path / "ray") == files(tmp_path / "local")
