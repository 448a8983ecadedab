"""A folder appears when it is whole, is made by one command at a time, and leaves nothing where it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from occlusionformer.data.records import new_folder

SLOW = """
import sys, time
from pathlib import Path
from occlusionformer.data.records import new_folder
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "file").touch()
    print(".", flush=True)
    time.sleep(60)
"""


def contents(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_it_appears_whole(tmp_path: Path):
    with new_folder(tmp_path / "a" / "set") as folder:
        (folder / "file").touch()
        assert not (tmp_path / "a" / "set" / "file").exists()
    assert contents(tmp_path) == ["a", "a/set", "a/set/file"]


def test_a_failure_leaves_nothing_that_was_not_there(tmp_path: Path):
    def fail(target: Path) -> None:
        with new_folder(target) as folder:
            (folder / "file").touch()
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail(tmp_path / "a" / "b" / "set")
    assert contents(tmp_path) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError, match="no"):
        fail(tmp_path / "empty")
    assert contents(tmp_path) == ["empty"]


def test_what_is_there_is_not_touched(tmp_path: Path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file").touch()
    (tmp_path / "text").touch()
    for name in ("set", "text"):
        with (
            pytest.raises(ValueError, match="expected a new or empty folder, got one with files"),
            new_folder(tmp_path / name),
        ):
            pass
    assert contents(tmp_path) == ["set", "set/file", "text"]


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX alone")
def test_two_at_once_are_told_apart(tmp_path: Path):
    target = tmp_path / "set"
    with new_folder(target) as folder:
        (folder / "file").touch()
        with pytest.raises(ValueError, match="got one that another is making"), new_folder(target):
            pass
    assert contents(tmp_path) == ["set", "set/file"]


def test_a_folder_that_was_filled_meanwhile_is_not_overwritten(tmp_path: Path):
    def filled(target: Path) -> None:
        with new_folder(target) as folder:
            (folder / "file").touch()
            (target / "other").touch()

    with pytest.raises(ValueError, match="expected an empty folder until the end, got one that has been filled"):
        filled(tmp_path / "set")
    assert contents(tmp_path) == ["set", "set/other"]


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX alone")
def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path / "set")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b".\n"
    with pytest.raises(ValueError, match="got one that another is making"), new_folder(tmp_path / "set"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(contents(tmp_path)) == 3
    (tmp_path / ".set.0123456789abcdef.other").mkdir()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # the lock goes with the process, which may take a moment
        try:
            with new_folder(tmp_path / "set") as folder:
                (folder / "new").touch()
            break
        except ValueError:
            time.sleep(0.05)
    assert contents(tmp_path) == [".set.0123456789abcdef.other", "set", "set/new"]
