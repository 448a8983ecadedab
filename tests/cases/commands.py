"""Commands in the process of the test: in a folder of their own, refusing what harms or making a right data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.conftest import Command
from tests.cases.replay import untouched

LARGEST = {"size": [65_535, 65_535], "counts": [1, 4_294_836_224]}
"""All of a canvas of four thousand million pixels but one, as run lengths."""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def converted(run: Command, source: Path | str, kind: str, *options: str) -> list[str]:
    """What `data convert` says; the data set it makes is right."""
    done = run("data", "convert", source, "set", "--from", kind, *options)
    assert done.code == 0, done.err
    checked = run("data", "validate", "set")
    assert checked.code == 0, checked.out
    return done.out.splitlines()


def refused(run: Command, folder: Path, *arguments: object) -> list[str]:
    """The lines of a refusal: exit code 2, and nothing new in the folder."""
    with untouched(folder):
        done = run(*arguments)
    assert (done.code, done.out) == (2, ""), done.err
    return done.err.splitlines()
