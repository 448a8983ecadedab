"""A whole run with a model that cannot fail, and with one that does not listen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from occlusionformer.evaluation.scenes import pictures
from occlusionformer.evaluation.scenes.calibration import (
    Calibration,
    calibrate,
    calibration_as_json,
    calibration_of_json,
    judge_digest,
)
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.jury import Jury, shown
from occlusionformer.evaluation.scenes.known import KINDS
from occlusionformer.evaluation.scenes.layouts import bench_scenes
from occlusionformer.evaluation.scenes.pictures import Drawer, Painter, Wanted
from occlusionformer.evaluation.scenes.report import report
from occlusionformer.evaluation.scenes.robustness import measure_robustness
from occlusionformer.evaluation.scenes.run import Wishes, control_figures, run_benchmark, write_results
from tests.evaluation.scenes.artist import Artist, silent

LIMIT = 2


def every_scene():
    return [scene for split in ("simple", "regular", "complex") for scene in bench_scenes(split, 2 * LIMIT)]


@pytest.fixture(scope="module")
def scenes():
    return every_scene()


def painter(folder: Path, weights: str | None = "w1") -> Painter:
    return Painter(model="artist", weights=weights, folder=folder / "pictures")


def hire(monkeypatch, artist: Artist) -> Artist:
    monkeypatch.setattr(pictures, "load_generator", lambda model: artist)
    return artist


def wanted(limit: int = LIMIT, split: str = "simple"):
    return [Wanted(key=one.key, scene=one, seed=number) for number, one in enumerate(bench_scenes(split, limit))]


def test_pictures_are_drawn_once(tmp_path, monkeypatch, scenes):
    artist = hire(monkeypatch, Artist(scenes))
    first = Drawer(painter(tmp_path)).draw(wanted(), title="x", progress=silent)
    second = Drawer(painter(tmp_path)).draw(wanted(3), title="x", progress=silent)
    assert second[:LIMIT] == first
    assert len(artist.requests) == 3


def test_other_weights_steps_seeds_or_sizes_are_other_pictures(tmp_path):
    one = wanted(1)[0]
    paths = {
        made.path(one.key, made.request(one.scene, seed))
        for made, seed in [
            (painter(tmp_path), 0),
            (painter(tmp_path), 1),
            (painter(tmp_path, "w2"), 0),
            (Painter(model="artist", weights="w1", folder=tmp_path / "pictures", steps=3), 0),
            (Painter(model="artist", weights="w1", folder=tmp_path / "pictures", size=64), 0),
        ]
    }
    assert len(paths) == 5


def test_unknown_weights_are_never_reused(tmp_path, monkeypatch, scenes):
    artist = hire(monkeypatch, Artist(scenes))
    for _ in range(2):
        Drawer(painter(tmp_path, None)).draw(wanted(), title="x", progress=silent)
    assert len(artist.requests) == 2 * LIMIT


def test_a_stopped_run_goes_on_where_it_was(tmp_path, monkeypatch, scenes):
    monkeypatch.setattr(pictures, "BATCH", 1)
    hire(monkeypatch, Artist(scenes, stops_after=2))
    with pytest.raises(KeyboardInterrupt):
        Drawer(painter(tmp_path)).draw(wanted(3), title="x", progress=silent)
    artist = hire(monkeypatch, Artist(scenes))
    paths = Drawer(painter(tmp_path)).draw(wanted(3), title="x", progress=silent)
    assert len(artist.requests) == 1
    assert all(path.exists() for path in paths)


def test_a_run_measures_reports_and_writes(tmp_path, monkeypatch, scenes):
    hire(monkeypatch, Artist(scenes))
    wishes = Wishes(splits=("simple", "regular"), limit=LIMIT, control=True)
    results = run_benchmark(painter(tmp_path), wishes, progress=silent)
    write_results(results, tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["splits"]["regular"]["figures"]["occ"]["value"] == 1
    assert written["splits"]["regular"]["figures"]["identity"]["value"] == 1
    assert written["provenance"]["weights"] == "w1"
    assert written["provenance"]["complete"] is False
    assert written["order_control"]["flipped"] == 1
    assert all((tmp_path / one["picture"]).exists() for one in written["splits"]["simple"]["pictures"])
    html = report(results)
    assert html.count("<figure>") == 3 * LIMIT
    assert "regular-001" in html


def test_a_model_that_does_not_listen_flips_nothing(tmp_path, monkeypatch, scenes):
    hire(monkeypatch, Artist(scenes, obeys=False))
    wishes = Wishes(splits=("simple",), limit=LIMIT, control=True)
    found = control_figures(run_benchmark(painter(tmp_path), wishes, progress=silent).control)
    assert (found["flipped"], found["right_before"], found["changed_outside"]) == (0, 1, 0)


@pytest.mark.slow
def test_wrong_orders_are_obeyed_and_cost_what_they_should(tmp_path, monkeypatch, scenes):
    from occlusionformer.evaluation.scenes import robustness

    monkeypatch.setattr(robustness, "COUNTS", (1,))
    counted = [robustness.with_instances(1, 0).scene]
    hire(monkeypatch, Artist([*scenes, *counted]))
    seeded = [(scene, number) for number, scene in enumerate(bench_scenes("regular", 3))]
    rows = measure_robustness(seeded, per_count=1, drawer=Drawer(painter(tmp_path)), jury=Jury(), progress=silent)
    named = {row.name: row for row in rows}
    assert named["order right"].figures["occ"].value == 1
    half = named["order wrong for 50% of pairs"]
    assert half.figures["occ"].value < 0.9
    assert half.obeyed.value > half.figures["occ"].value
    assert named["1 instance"].figures["miou"].value > 0.9


def test_wishes_are_checked_all_at_once():
    with pytest.raises(ValueError, match=r"^split: .*got easy\nlimit: expected 1 to 200, got 0$"):
        Wishes(splits=("easy",), limit=0)


def test_calibration_tells_true_renders_from_reversed_ones_and_from_noise():
    found = calibrate({"simple": bench_scenes("simple", 2)[1:]}, progress=silent)
    named = {trial.kind: trial for trial in found.trials}
    assert list(named) == list(KINDS)
    assert named["true renders"].figures["occ"].value == 1
    assert named["reversed orders"].figures["occ"].value == 0
    assert named["noise"].figures["miou"].value == 0
    assert calibration_of_json(json.loads(json.dumps(calibration_as_json(found)))) == found
    assert isinstance(found, Calibration)
    assert (found.judge, found.edition) == (judge_digest(), EDITION)


def test_several_processes_judge_the_same_in_the_same_order(tmp_path):
    scenes = bench_scenes("simple", 3)
    path = tmp_path / "first.png"
    Image.fromarray(scenes[0].render()).save(path)
    given = [shown(path, scenes[0]), *(shown(scene.render(), scene) for scene in scenes[1:])]
    alone = list(Jury().verdicts(given))
    with Jury(2) as jury:
        together = list(jury.verdicts(given))
    assert [one.sightings for one in together] == [one.sightings for one in alone]
    assert [one.order.tolist() for one in together] == [one.order.tolist() for one in alone]
    with pytest.raises(ValueError, match=r"^workers: expected at least 1, got 0$"):
        Jury(0)


def test_pictures_of_another_size_are_asked_for_and_judged(tmp_path, monkeypatch, scenes):
    hire(monkeypatch, Artist(scenes))
    large = Painter(model="artist", weights="w1", folder=tmp_path, size=256)
    (path,) = Drawer(large).draw(wanted(1), title="x", progress=silent)
    assert Image.open(path).size == (256, 256)
