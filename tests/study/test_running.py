"""A study from nothing to its table, stopped or not, alone or shared."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import Box, Instance, Layout
from occlusionformer.study.folder import StudyFolder, read_json, write_json
from occlusionformer.study.page import markdown, write_pages
from occlusionformer.study.result import StudyResult
from occlusionformer.study.running import Study
from occlusionformer.training import SettingsError
from tests.study.plans import small, written

KEPT = ("plan.json", "search.json", "trained.json", "drawing.json", "result.json", "log.jsonl")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    plan = small(folder)
    study = Study(plan, StudyFolder(folder / "out"), lambda line: None)
    study.run()
    return study


@pytest.mark.slow
def test_a_study_trains_draws_judges_and_compares(done):
    result = StudyResult(done.plan, done.folder)
    result.write()
    write_pages(result)
    found = json.loads((done.folder.path / "study.json").read_text())
    assert found["complete"]
    assert {name: cell["seeds"] for name, cell in found["cells"].items()} == {"ours": 2, "text": 1}
    runs = found["cells"]["ours"]["runs"]
    assert [(run["seed"], run["images"], run["rate"]) for run in runs] == [
        (0, 8, runs[0]["rate"]),
        (1, 8, runs[0]["rate"]),
    ]
    assert len({run["config"] for run in runs}) == 2
    assert set(found["cells"]["ours"]["chosen"]["figures"]) == {"0.001", "0.003"}
    assert found["cells"]["ours"]["advantage"] is None
    assert "miou" in found["cells"]["text"]["advantage"]["world-complex"]
    costs = json.loads((done.folder.path / "costs.json").read_text())
    assert [cost["images"] for cost in costs["ours"]["training"]] == [8, 8]
    assert all(float(value) > 0 for value in costs["text"]["drawing"]["processor_seconds"].values())
    page = (done.folder.path / "study.html").read_text()
    assert "ours less the others" in page
    assert "where ours is worst" in page
    assert markdown(result).splitlines()[0].startswith("| cell | world-simple: Occ")


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_another_plan_is_refused(done, tmp_path):
    told = []
    Study(done.plan, done.folder, told.append).run()
    assert told == []
    other = small(tmp_path, limit=1)
    with pytest.raises(SettingsError, match="limit: expected that of the study in"):
        Study(other, done.folder, told.append).run()


def test_a_plan_may_get_more_cells_and_seeds_and_loses_none(tmp_path):
    plan = small(tmp_path)
    first, second = plan.cells
    third = second.model_copy(update={"name": "more"})
    grown = plan.model_copy(update={"cells": (third, first, second), "seeds": (0, 1, 7)})
    folder = StudyFolder(tmp_path / "out")
    for _ in range(2):
        folder.start(plan)
    folder.start(grown)
    assert [cell["name"] for cell in json.loads((tmp_path / "out" / "plan.json").read_text())["cells"]] == [
        "more",
        "ours",
        "text",
    ]
    changed = first.model_copy(update={"settings": ("objective.align=none",)})
    for field, other in {
        "cells": [plan, grown.model_copy(update={"cells": (third, changed, second)})],
        "seeds": [plan, grown.model_copy(update={"seeds": (0, 7, 1)})],
    }.items():
        for refused in other:
            with pytest.raises(SettingsError, match=f"{field}: expected that of the study in"):
                folder.start(refused)
    folder.start(grown)


@pytest.mark.slow
def test_weights_that_nothing_needs_any_longer_may_be_gone(done, tmp_path):
    """What a repository keeps of a study is enough to go on with it: JSON alone."""
    kept = tmp_path / "kept"
    for path in done.folder.path.rglob("*.json*"):
        if "checkpoints" not in path.parts and path.name in KEPT:
            place = kept / path.relative_to(done.folder.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    told = []
    Study(done.plan, StudyFolder(kept), told.append).run()
    assert told == []
    expected = StudyResult(done.plan, done.folder)
    assert StudyResult(done.plan, StudyFolder(kept)).as_json() == expected.as_json()
    (kept / "cells/text/seed-0/world-complex/result.json").unlink()
    missing = [part.name for part in Study(done.plan, StudyFolder(kept), told.append).parts() if not part.is_done()]
    assert missing == ["train-text-0", "judge-text-0-world-complex"]


def test_an_ablation_takes_the_rate_of_the_whole_method(tmp_path):
    plan = small(tmp_path)
    ours, text = plan.cells
    plan = plan.model_copy(update={"cells": (ours, text.model_copy(update={"rate_of": "ours"}))})
    folder = StudyFolder(tmp_path / "out")
    parts = {part.name: part for part in Study(plan, folder, print).parts()}
    assert not parts["search-text"].is_ready()
    chosen = {"rate": 0.003, "images": plan.search_images}
    write_json(folder.search(ours) / "search.json", {**chosen, "figures": {"0.003": 0.1}})
    assert parts["search-text"].is_ready()
    parts["search-text"].work()
    assert read_json(folder.search(text) / "search.json") == {**chosen, "rate_of": "ours", "figures": {}}
    assert parts["search-text"].is_done()


def test_a_longer_search_keeps_trainings_of_its_rate_and_takes_those_of_another_away(tmp_path):
    plan = small(tmp_path)
    ours, text = plan.cells
    plan = plan.model_copy(update={"cells": (ours, text.model_copy(update={"rate_of": "ours"}))})
    folder = StudyFolder(tmp_path / "out")
    folder.start(plan)
    longer = plan.model_copy(update={"search_images": 8})
    cells = dict(zip(("ours", "text"), plan.cells, strict=True))

    def found(plan):
        return {part.name: part for part in Study(plan, folder, print).parts()}

    def chosen(rate, images):
        return {"rate": rate, "figures": {}, "images": images}

    write_json(folder.search(ours) / "search.json", chosen(0.003, 4))
    found(plan)["search-text"].work()
    for cell in cells.values():
        for seed in plan.seeds_of(cell):
            write_json(folder.training(cell, seed).parent / "trained.json", {})
            folder.training(cell, seed).mkdir()
            (folder.training(cell, seed) / "branch.safetensors").touch()
        write_json(folder.cell(cell) / "drawing.json", {})
    assert all(found(plan)[name].is_done() for name in ("search-ours", "search-text", "train-ours-1", "train-text-0"))
    folder.start(longer)
    parts = found(longer)
    assert not any(parts[name].is_done() for name in ("search-ours", "search-text"))
    assert not any(parts[name].is_ready() for name in ("search-text", "judge-ours-0-world-simple", "train-text-0"))
    for rate, kept in ((0.003, True), (0.001, False)):
        Study(longer, folder, print)._choose(ours, chosen(rate, 8))
        assert parts["search-ours"].is_done()
        parts["search-text"].work()
        assert parts["search-text"].is_done()
        for cell in cells.values():
            there = [(folder.training(cell, seed).parent / "trained.json").exists() for seed in plan.seeds_of(cell)]
            assert there == [kept] * len(there)
            assert (folder.cell(cell) / "drawing.json").exists() is kept


def test_a_study_of_another_backbone_is_refused(tmp_path):
    plan = small(tmp_path)
    for folder, content in ((tmp_path / "one", b"one"), (tmp_path / "two", b"two"), (tmp_path / "moved", b"one")):
        folder.mkdir()
        (folder / "backbone.safetensors").write_bytes(content)
    one, two, moved = (plan.model_copy(update={"backbone": tmp_path / name}) for name in ("one", "two", "moved"))
    StudyFolder(tmp_path / "out").start(one)
    StudyFolder(tmp_path / "out").start(moved)
    with pytest.raises(SettingsError, match="backbone: expected that of the study in"):
        StudyFolder(tmp_path / "out").start(two)


@pytest.mark.slow
def test_a_run_of_the_trainer_is_a_model_that_draws(done):
    folder = done.folder.training(done.plan.cell("ours"), 0)
    layout = Layout(
        prompt="snow", width=64, height=64, instances=(Instance(id="a", caption="a cat", box=Box(0, 0, 1, 1)),)
    )
    (drawn,) = load_generator(f"run:{folder}").generate(
        [GenerationRequest(layout=layout, width=64, height=64, steps=1)]
    )
    assert drawn.image.size == (64, 64)
    (folder / "branch.safetensors").rename(folder / "kept")
    (folder / "branch.safetensors").write_bytes((folder / "backbone.safetensors").read_bytes())
    with pytest.raises(SettingsError, match=r"model: .*branch"):
        load_generator(f"run:{folder}")
    (folder / "kept").replace(folder / "branch.safetensors")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"expected run:FOLDER with run\.json"):
        load_generator(f"run:{tmp_path}")
    with pytest.raises(ValueError, match="expected run:FOLDER with the folder of a training run"):
        load_generator("run:nowhere")


def test_a_part_that_somebody_has_is_left_to_them(tmp_path):
    plan = small(tmp_path)
    folder = StudyFolder(tmp_path / "out")
    folder.start(plan)
    with folder.claimed("train-ours-0") as mine, StudyFolder(tmp_path / "out").claimed("train-ours-0") as other:
        assert (mine, other) == (True, False)
    with folder.claimed("train-ours-0") as again:
        assert again


def test_layouts_for_choosing_are_not_those_of_the_benchmark():
    own, other = (load_benchmark("world-simple", source_settings={"series": series}) for series in (0, 1))
    assert [item.layout for item in own.items[:3]] == [item.layout for item in load_benchmark("world-simple").items[:3]]
    assert all(one.layout != two.layout for one, two in zip(own.items[:3], other.items[:3], strict=True))


def command(plan, out):
    return [sys.executable, "-m", "occlusionformer.apps.cli", "study", str(plan), "--out", str(out)]


@pytest.mark.slow
def test_a_study_that_is_killed_ends_with_the_same_result(tmp_path, done):
    """Three times, wherever it is."""
    plan, out = written(tmp_path), tmp_path / "out"
    chance = random.Random(5)
    for _ in range(3):
        process = subprocess.Popen(command(plan, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(8, 20))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(plan, out), check=True, capture_output=True)
    expected = StudyResult(done.plan, done.folder).as_json()
    assert json.loads((out / "study.json").read_text()) == json.loads(json.dumps(expected))
