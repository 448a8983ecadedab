"""The command `data build`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlusionformer.apps.cli import main

PLAN = """
name: train
source: {kind: scenes, seed: 3, count: 6, size: 48}
shard_size: 4
stages:
  - stage: clean
  - {stage: filter, min_instances: 1}
"""


def run(*arguments: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "build", *arguments])
    assert ended.value.code == code


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def test_a_data_set_is_built_and_told_about(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(str(plan), "--out", str(tmp_path / "out"), "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["totals"]["records"], told["shards"], told["shards_skipped"]) == (6, 2, 0)
    assert (tmp_path / "out" / "README.md").is_file()
    run(str(plan), "--out", str(tmp_path / "out"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'out'} (6 records in 2 shards, 2 of them there before; 0 pictures in ")
    assert lines[-1] == f"data set {told['data_set']}"


def test_an_estimate_builds_nothing(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(str(plan), "--estimate", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [line["stage"] for line in told["stages"]] == ["load", "clean", "filter", "write"]
    assert list(tmp_path.iterdir()) == [plan]
    run(str(plan), "--estimate")
    assert "in all: " in capsys.readouterr().out


def test_bad_plans_and_executors_are_refused(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(str(plan), "--executor", "abacus", code=2)
    assert "executor: expected local or ray, got 'abacus'" in capsys.readouterr().err
    plan.write_text("name: train\nstages: []\n")
    run(str(plan), code=2)
    assert "source: expected a value, got nothing" in capsys.readouterr().err
    run(str(tmp_path / "gone.yaml"), code=2)
    assert "no such file" in capsys.readouterr().err
