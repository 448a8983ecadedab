"""Running the command line as users do: in a process of its own, with bounds on time and memory that are measured.

    reply = replay("validate", "odd.json", folder=tmp_path)
    assert reply.code == 2

    message = refusal("validate", "odd.json", folder=tmp_path)      # checks all that a refusal promises

A process costs two to four seconds: for what could crash, hang or fill the memory. Everything else runs in the process
of the test (`run` in `tests/apps/conftest.py`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import occlusionformer

MOST_SECONDS = 2.0
"""That a refusal may take beyond the command's own start-up."""

MOST_MEMORY = 500 * 2**20
"""Bytes that it may hold beyond it."""

ADDRESS_SPACE = 12 * 2**30
"""Bytes of address space: torch alone maps several gigabytes, and a runaway allocation fails instead of swapping."""

LAUNCHER = """
import json, os, resource, sys
limit, report, *command = sys.argv[1:]
child = os.fork()
if child == 0:
    resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.execv(command[0], command)
_, status, used = os.wait4(child, 0)
unit = 1 if sys.platform == "darwin" else 1024
with open(report, "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss * unit], file)
"""
"""A small process between this one and the command: the peak of a child counts the memory of whoever forked it."""


@dataclass(frozen=True)
class Reply:
    """How a command ended."""

    code: int
    """Negative for a signal."""
    stdout: str
    stderr: str
    seconds: float
    """Of processor time: what others do on the machine does not count."""
    memory: int
    """Bytes resident at the peak."""
    seconds_beyond: float
    """What `seconds` is more than those of the harmless run."""
    memory_beyond: int
    """What `memory` is more than that of the harmless run."""


def replay(
    *arguments: object,
    folder: Path,
    harmless: Sequence[object] | None = None,
    timeout: float = 120,
    address_space: int = ADDRESS_SPACE,
) -> Reply:
    """Run `occlusionformer ARGUMENTS`, or a script when the first is its path, in a folder.

    A command still running after `timeout` seconds fails the test.

    `harmless` are arguments of a run of the same command that does nothing of note, in an empty folder, measured once
    a session; without them the command's `--help`, which is the start-up of commands that refuse their input early.
    """
    words = tuple(map(str, arguments))
    start = _start_up(_help_of(words) if harmless is None else tuple(map(str, harmless)))
    code, stdout, stderr, seconds, memory = _run(words, folder, timeout, address_space)
    return Reply(code, stdout, stderr, seconds, memory, seconds - start[0], memory - start[1])


def refusal(
    *arguments: object, folder: Path, harmless: Sequence[object] | None = None, seconds: float = MOST_SECONDS
) -> str:
    """What a command that refuses its input says: with exit code 2, soon, in bounds, and with nothing left behind."""
    with untouched(folder):
        reply = replay(*arguments, folder=folder, harmless=harmless)
    told = f"exit code {reply.code}\n{reply.stdout}{reply.stderr}"
    assert reply.code == 2, told
    assert "Traceback" not in reply.stdout + reply.stderr, told
    assert reply.stderr.strip() or reply.stdout.strip(), "a refusal that says nothing"
    assert reply.seconds_beyond < seconds, f"{reply.seconds_beyond:.1f} s beyond the start-up"
    assert reply.memory_beyond < MOST_MEMORY, f"{reply.memory_beyond / 2**20:.0f} MB beyond the start-up"
    return reply.stderr or reply.stdout


@contextmanager
def untouched(*folders: Path) -> Iterator[None]:
    """Fails when a file or folder, hidden or not, is new, gone or other afterwards."""
    before = {folder: contents(folder) for folder in folders}
    yield
    after = {folder: contents(folder) for folder in folders}
    assert after == before


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder below one, hidden ones too, with a digest of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def _help_of(words: Sequence[str]) -> tuple[str, ...]:
    """`data convert in out` as `data convert --help`."""
    groups = ("data", "eval", "bench", "train")
    return (*words[: 2 if words[0] in groups else 1], "--help")


@functools.cache
def _start_up(words: tuple[str, ...]) -> tuple[float, int]:
    """Seconds and bytes of a harmless run."""
    with tempfile.TemporaryDirectory() as folder:
        code, stdout, stderr, seconds, memory = _run(words, Path(folder), 120, ADDRESS_SPACE)
    assert code == 0, f"harmless run {words}: exit code {code}\n{stdout}{stderr}"
    return seconds, memory


def _run(words: Sequence[str], folder: Path, timeout: float, address_space: int) -> tuple[int, str, str, float, int]:
    package = str(Path(occlusionformer.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    with tempfile.NamedTemporaryFile("r") as report:
        program = words if words[0].endswith(".py") else ("-m", "occlusionformer.apps.cli", *words)
        command = [sys.executable, *program]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, str(address_space), report.name, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise AssertionError(f"{' '.join(words)}: still running after {timeout:g} s") from None
        code, seconds, memory = json.load(report)
    return code, stdout, stderr, seconds, memory
