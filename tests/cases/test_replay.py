"""The helper itself: what it measures, and that it sees what a command leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cases.replay import refusal, replay, untouched

LAYOUT = {"prompt": "a table", "width": 128, "height": 128}


def test_a_right_layout_and_a_wrong_one(tmp_path: Path):
    (tmp_path / "right.json").write_text(json.dumps(LAYOUT))
    (tmp_path / "wrong.json").write_text(json.dumps({**LAYOUT, "width": 0}))
    reply = replay("validate", "right.json", folder=tmp_path)
    assert (reply.code, reply.stdout) == (0, "right.json: ok (128 x 128, 0 instances, no order)\n")
    assert reply.seconds_beyond < reply.seconds
    assert 0 < reply.memory < 2**30
    assert refusal("validate", "wrong.json", folder=tmp_path) == "wrong.json: width: expected at least 1, got 0\n"


def test_a_run_without_room_fails_and_one_without_end_is_ended(tmp_path: Path):
    assert replay("schema", folder=tmp_path, address_space=2**25).code != 0
    with pytest.raises(AssertionError, match="still running after"):
        replay("validate", "x.json", folder=tmp_path, timeout=0.01)


def test_hidden_folders_and_changed_files_are_seen(tmp_path: Path):
    (tmp_path / "file").write_text("before")
    with untouched(tmp_path):
        pass
    with pytest.raises(AssertionError), untouched(tmp_path):
        (tmp_path / ".left").mkdir()
    with pytest.raises(AssertionError), untouched(tmp_path):
        (tmp_path / "file").write_text("after")
