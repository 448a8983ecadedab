"""The example of the guide does what the guide says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from occlusionformer.evaluation import read_result
from occlusionformer.evaluation.benchmarks.sources import scenes
from occlusionformer.evaluation.scenes.layouts import bench_scenes

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "evaluation.md"
README = ROOT / "README.md"
MOST_LINES = 10


def example() -> str:
    section = README.read_text(encoding="utf-8").split("### A method of your own in ten lines")[1]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]


def test_a_method_of_ones_own_is_evaluated_in_ten_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert len([line for line in example().splitlines() if line.strip()]) <= MOST_LINES
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scenes, "bench_series", lambda split, series=0: bench_scenes(split, 2))  # 200 take long
    exec(compile(example(), str(README), "exec"), {})
    assert float(capsys.readouterr().out) == 0.0
    assert {path.name for path in (tmp_path / "runs" / "grey").iterdir()} >= {"result.json", "table.md", "report.html"}
    result = read_result(tmp_path / "runs" / "grey")
    assert {score.status for score in result.scores} <= {"ok", "empty"}
    assert [score.num_images for score in result.scores if score.column.name == "miou"] == [2]


def test_the_guide_names_every_judge():
    from occlusionformer.evaluation.judges.registry import PACKAGED

    section = GUIDE.read_text(encoding="utf-8").split("\n## Judges\n")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([a-z0-9-]+)", section, re.MULTILINE)
    assert set(named) == set(PACKAGED)
