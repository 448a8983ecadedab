"""The commands that evaluate: what they print, where things go, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from occlusionformer.evaluation.judges import registry
from occlusionformer.evaluation.running import drawing, judge_specs
from tests.apps.conftest import Command
from tests.apps.painter import Painter
from tests.evaluation.running.standins import Looker, toy_benchmark
from tests.tables import for_each


@pytest.fixture
def toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A definition beside its files; models paint and judges look."""
    (folder / "data").mkdir()
    toy_benchmark(folder / "data", 3)
    monkeypatch.setattr(drawing, "load_generator", lambda spec: Painter(model=spec))
    monkeypatch.setattr(judge_specs, "load_judge", lambda spec: Looker())
    return folder / "data" / "toy.json"


def test_a_benchmark_is_run_replayed_and_compared(run: Command, toy: Path, folder: Path):
    done = run("eval", toy, "--judges", "qwen", "--out", "a", "--json")
    assert done.code == 0, done.err
    assert done.json["scores"]["miou"]["status"] == "ok"
    assert done.json["scores"]["fid"] == {
        "value": None, "low": None, "high": None, "status": "not run", "num_images": 0, "num_failed": 0
    }  # fmt: skip
    before = (folder / "a" / "result.json").read_bytes()
    again = run("eval", "replay", "a", "--json")
    assert (again.code, again.json) == (0, done.json)
    assert (folder / "a" / "result.json").read_bytes() == before

    assert run("eval", toy, "--judges", "qwen", "--out", "b", "--seed", "5", "--model", "flux-dev:x").code == 0
    compared = run("eval", "compare", "a/result.json", "b", "--out", "both.html")
    assert compared.code == 0, compared.err
    assert compared.out.startswith("embedded minus flux-dev:x, 3 pictures in common\nmIoU: ")
    assert "<html" in (folder / "both.html").read_text()


def test_results_become_tables_and_grids(run: Command, toy: Path, folder: Path):
    for seed in ("0", "1"):
        assert run("eval", toy, "--judges", "qwen", "--out", f"s{seed}", "--seed", seed).code == 0
    files = ("--latex", "t.tex", "--csv", "t.csv", "--out", "t.html")
    done = run("eval", "table", "s0", "s1/result.json", "--published", *files)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "Toy OverLayBench"
    assert lines[2].startswith("embedded ")
    assert " ± " in lines[2]
    assert lines[3].startswith("CreatiLayout (published)")
    assert lines[-3:] == ["t.tex", "t.csv", "t.html"]
    assert (folder / "t.tex").read_text().count(r"\begin{tabular}") == 1
    assert "<html" in (folder / "t.html").read_text()
    value = run("eval", "table", "s0", "s1", "--metrics", "miou,sr_e", "--json").json
    assert list(value["tables"][0]["rows"][0]["cells"]) == ["miou", "sr_e"]
    assert value["tables"][0]["rows"][0]["seeds"] == [0, 1]
    drawn = run("eval", "grid", "s0", "s1", "--out", "g.png", "--number", "2", "--side", "64", "--boxes", "--json")
    assert drawn.json == {"output": "g.png", "items": ["item00000", "item00001"]}
    with Image.open(folder / "g.png") as picture:
        assert picture.size == (3 * 64 + 2 * 8, 7 + 2 * 64 + 8)


def test_for_a_person_there_is_a_table(run: Command, toy: Path):
    done = run("eval", toy, "--judges", "qwen", "--limit", "2", "--name", "mine")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "2 of 3 items"
    assert lines[1].split()[:2] == ["metric", "value"]
    assert lines[2].split()[:2] == ["mIoU", "↑"]
    assert any(line.startswith("FID ↓") and "not run" in line for line in lines)
    assert "FID ↓: no judge for fid_features" in lines
    assert lines[-1] == "runs/toy-mine/report.html"
    assert "asking qwen: " in done.err


def test_an_interrupted_run_is_gone_on_with(run: Command, toy: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drawing, "load_generator", lambda spec: Painter(model=spec, interrupted_in_step=2))
    done = run("eval", toy, "--judges", "qwen", "--out", "a")
    assert done.code == 130
    assert "interrupted: what was done is kept in a" in done.err
    monkeypatch.setattr(drawing, "load_generator", lambda spec: Painter(model=spec))
    assert run("eval", toy, "--judges", "qwen", "--out", "a").code == 0


def test_pictures_of_ones_own_are_judged(run: Command, toy: Path, folder: Path):
    assert run("eval", toy, "--judges", "qwen", "--out", "a").code == 0
    done = run("eval", toy, "--judges", "qwen", "--pictures", folder / "a" / "pictures", "--out", "b", "--json")
    assert done.json["scores"]["miou"] == json.loads(run("eval", "replay", "a", "--json").out)["scores"]["miou"]
    Image.new("RGB", (5, 5)).save(folder / "a" / "pictures" / "item00001.png")
    wrong = run("eval", toy, "--judges", "qwen", "--pictures", folder / "a" / "pictures", "--out", "c", "--json")
    assert wrong.code == 2
    assert "item00001.png: expected 64 x 64, got 5 x 5" in wrong.json["problems"][0]


def test_shards_add_up(run: Command, toy: Path):
    whole = run("eval", toy, "--judges", "qwen", "--out", "whole", "--json").json["scores"]
    for part in ("2/2", "1/2"):
        last = run("eval", toy, "--judges", "qwen", "--out", "parts", "--shard", part, "--json")
    assert last.json["scores"] == whole


@for_each(
    ("arguments", "problem"),
    [
        (("eval", "nothing"), "benchmark: expected "),
        (("eval", "overlaybench-simple"), "data: expected the folder"),
        (("eval", "{toy}", "--judges", "nobody"), "judges: expected one of (art, "),
        (("eval", "{toy}", "--judges", "qwen,qwen"), "expected every judge once, got 'qwen' again"),
        (("eval", "{toy}", "--judges", "instaorder-order:x"), "needs answers to 'segment' questions"),
        (("eval", "{toy}", "--judges", "sam2,instaorder-order"), "expected instaorder-order:InstaOrderNet_o.pth.tar"),
        (("eval", "{toy}", "--judges", "art:x"), "expected art without an argument, got 'art:x'"),
        (("eval", "{toy}", "--shard", "0/2"), "shard: expected i/n"),
        (("eval", "{toy}", "--shard", "two"), "shard: expected i/n"),
        (("eval", "{toy}", "--workers", "0"), "workers: expected at least 1"),
        (("eval", "{toy}", "--limit", "0"), "limit: expected at least 1"),
        (("eval", "{toy}", "--steps", "0"), "steps: expected"),
        (("eval", "{toy}", "--model", "a", "--pictures", "."), "model, pictures: expected one"),
        (("eval", "{toy}", "--pictures", "none"), "pictures: expected a folder"),
        (("eval", "replay", "."), "expected the folder of a run"),
        (("eval", "compare", "x.json", "y.json"), "x.json: no such file"),
        (("eval", "compare", "x", "y", "--out", "no/where.html"), "out: expected a file in an existing folder"),
        (("eval", "table", "x.json"), "x.json: no such file"),
        (("eval", "table", "x.json", "--latex", "no/t.tex"), "latex: expected a file in an existing folder"),
        (("eval", "grid", "x.json", "--out", "no/g.png"), "out: expected a file in an existing folder"),
        (("eval", "{toy}", "--unreadable", "no"), "unreadable: expected fail or skip, got 'no'"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_refused_with_its_reason(
    arguments: tuple[str, ...], problem: str, run: Command, toy: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(judge_specs, "load_judge", registry.load_judge)
    done = run(*(each.format(toy=toy) for each in arguments), "--json")
    assert done.code == 2
    assert any(problem in found for found in done.json["problems"]), done.json
    assert run(*(each.format(toy=toy) for each in arguments)).code == 2
