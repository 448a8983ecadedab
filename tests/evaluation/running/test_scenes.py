"""Our own scenes, drawn by the packaged model and judged by the judge that knows the art."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlusionformer.evaluation import Drawing, Plan, evaluate, read_result, rescore
from occlusionformer.evaluation.benchmarks.sources import scenes
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.judges.registry import load_judge
from occlusionformer.evaluation.scenes.layouts import bench_scenes
from tests.apps.conftest import Command

COUNT = 2
REGULAR_GROUPS = (scenes.HELD_OUT, scenes.TRAINED, *scenes.SIZES.values())


def read_groups(result):
    return read_result(result.path).document["groups"]


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "bench_series", lambda split, series=0: bench_scenes(split, COUNT))


def test_true_pictures_score_one_and_exchanged_ones_do_not(tmp_path: Path):
    for scene in bench_scenes("regular", COUNT):
        scene_picture(scene.render(), tmp_path / "true" / f"{scene.key}.png")
        scene_picture(scene.render(tuple(reversed(scene.back_to_front))), tmp_path / "turned" / f"{scene.key}.png")
    runs = {
        name: evaluate(
            Plan(benchmark="world-regular", method=tmp_path / name, judges=("art",)), tmp_path / f"{name}-run"
        )
        for name in ("true", "turned")
    }
    groups = runs["true"].groups
    assert list(groups) == [name for name in REGULAR_GROUPS if name in groups]
    assert sum(len(group["keys"]) for group in runs["true"].document["groups"]) == 2 * COUNT
    told = {one["name"]: {each["column"]: each["value"] for each in one["scores"]} for one in read_groups(runs["true"])}
    assert told == {name: {each.column.name: each.value for each in scores} for name, scores in groups.items()}
    table = (tmp_path / "true-run" / "table.md").read_text()
    assert "## Groups of pictures" in table
    assert all(f"| {name} |" in table for name in groups)
    assert "Groups of pictures" in (tmp_path / "true-run" / "report.html").read_text()
    assert runs["true"].value("miou") > 0.95
    assert runs["true"].value("occ_f1") > 0.95
    assert runs["turned"].value("occ_f1") < 0.5
    assert "; not seen: " in (tmp_path / "turned-run" / "report.html").read_text()
    assert "; not seen: " not in (tmp_path / "true-run" / "report.html").read_text()
    assert runs["true"].value("completeness") > 0.98
    assert runs["true"].value("background") < 0.005
    assert runs["true"].value("sharpness") == pytest.approx(1, abs=0.1)


def scene_picture(values: object, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.mark.slow
def test_the_packaged_model_is_drawn_judged_scored_and_replayed(run: Command, tmp_path: Path):
    done = run("eval", "world-simple", "--judges", "art", "--steps", "2", "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert done.json["scores"]["miou"]["status"] == "ok"
    assert done.json["scores"]["miou"]["num_images"] == COUNT
    first = (tmp_path / "run" / "result.json").read_bytes()
    way = read_result(tmp_path / "run").document["drawn"]["ways"][0]
    assert (way["model"], way["steps"], way["width"]) == ("embedded", 2, 256)
    rescore(tmp_path / "run")
    assert (tmp_path / "run" / "result.json").read_bytes() == first
    assert Drawing().seed == read_result(tmp_path / "run").document["run"]["drawing"]["seed"]


def test_it_is_a_judge_that_knows_its_own_art():
    judge = load_judge("art")
    assert isinstance(judge, Judge)
    assert judge.identity["revision"].startswith("sha256:")
    assert judge.identity["settings"]["edition"] == 2
    with pytest.raises(ValueError, match="expected art without an argument, got 'art:x'"):
        load_judge("art:x")
