"""A whole run with a model that cannot fail, and with one that does not listen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from occlusionformer.evaluation import read_result
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.benchmarks.sources import scenes as source
from occlusionformer.evaluation.running import drawing
from occlusionformer.evaluation.running.drawing import KeptModel
from occlusionformer.evaluation.running.plan import Drawing
from occlusionformer.evaluation.running.shelf import PictureShelf
from occlusionformer.evaluation.scenes import measuring
from occlusionformer.evaluation.scenes.calibration import (
    KnownItems,
    calibration_as_json,
    calibration_of,
    calibration_of_json,
    calibration_plan,
)
from occlusionformer.evaluation.scenes.edition import judge_digest
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.known import KINDS
from occlusionformer.evaluation.scenes.layouts import LAYOUTS, bench_scenes
from occlusionformer.evaluation.scenes.measuring import MeasuredModel, Wishes, run_benchmark
from occlusionformer.evaluation.scenes.report import report
from occlusionformer.evaluation.scenes.results import control_as_json, results_as_json, robustness_rows, write_results
from tests.evaluation.scenes.artist import Artist, silent

LIMIT = 2
MODEL = MeasuredModel(name="artist", weights="w1")
SIMPLE = Wishes(splits=("simple",), limit=LIMIT)


@pytest.fixture(scope="module")
def scenes():
    return [scene for split in ("simple", "regular", "complex") for scene in bench_scenes(split, 2 * LIMIT)]


def hire(monkeypatch, artist: Artist) -> Artist:
    monkeypatch.setattr(drawing, "load_generator", lambda model: artist)
    return artist


def measure(folder: Path, wishes: Wishes = SIMPLE, model: MeasuredModel = MODEL, **options):
    return run_benchmark(model, wishes, folder, progress=silent, **options)


def test_a_run_measures_reports_and_writes(tmp_path, monkeypatch, scenes):
    artist = hire(monkeypatch, Artist(scenes))
    results = measure(tmp_path, Wishes(splits=("simple", "regular"), limit=LIMIT, control=True))
    write_results(results, tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    regular = written["splits"]["regular"]
    assert regular["figures"]["occ"]["value"] == regular["figures"]["identity"]["value"] == 1
    assert regular["figures"]["occ"]["pictures"] == LIMIT
    assert sum(group["miou"]["pictures"] for group in regular["groups"].values()) == 2 * LIMIT
    first = regular["pictures"][0]
    assert (first["score"]["occ"], first["score"]["decided"]) == (1, first["score"]["pairs"])
    assert [one["nearest"] for one in first["sightings"]] == list(bench_scenes("regular", 1)[0].names)
    assert written["provenance"]["weights"] == "w1"
    assert written["provenance"]["complete"] is False
    assert (written["order_control"]["pairs"], written["order_control"]["flipped"]) == (LIMIT, 1)
    assert all((tmp_path / one["picture"]).exists() for one in written["splits"]["simple"]["pictures"])
    asked = {item.key for item in load_benchmark("world-order-control").items[: 2 * LIMIT]}
    asked |= {f"{split}-{number:03d}" for split in ("simple", "regular") for number in range(LIMIT)}
    assert len(artist.requests) == len(asked) < 4 * LIMIT, "the order control takes the pictures of the split"
    html = report(results)
    for told in ("regular-001", "Order control", "The regular split: Groups of pictures", "true renders", "edition 2"):
        assert told in html
    result = read_result(tmp_path / regular["run"])
    assert result.value("occ_f1") == 1
    assert {path.name for path in result.path.iterdir()} >= {"table.tex", "table.csv", "report.html"}


def test_pictures_are_drawn_once_whatever_is_asked_for(tmp_path, monkeypatch, scenes):
    artist = hire(monkeypatch, Artist(scenes))
    first = measure(tmp_path)
    assert measure(tmp_path).splits["simple"].result.document == first.splits["simple"].result.document
    measure(tmp_path, Wishes(splits=("simple",), limit=3))
    assert len(artist.requests) == 3
    measure(tmp_path, model=MeasuredModel(name="artist", weights="w2"))
    assert len(artist.requests) == 3 + LIMIT
    measure(tmp_path, model=MeasuredModel(name="artist", weights="w1", steps=3))
    assert len(artist.requests) == 3 + 2 * LIMIT
    assert len(list((tmp_path / "pictures").iterdir())) == 3 + 2 * LIMIT


def test_other_weights_steps_seeds_or_sizes_are_other_pictures(tmp_path):
    item = load_benchmark("world-simple").items[1]
    one = PictureShelf(folder=tmp_path, model="artist", weights="w1")
    other = PictureShelf(folder=tmp_path, model="artist", weights="w2")
    paths = {
        shelf.path(item.key, drawing.request(each.layout, item_seed=each.seed))
        for shelf, drawing, each in [
            (one, Drawing(), item),
            (one, Drawing(seed=1), item),
            (other, Drawing(), item),
            (one, Drawing(steps=3), item),
            (one, Drawing(), item.resized((64, 64))),
        ]
    }
    assert len(paths) == 5


def test_unknown_weights_are_never_reused(tmp_path, monkeypatch, scenes):
    artist = hire(monkeypatch, Artist(scenes))
    for _ in range(2):
        measure(tmp_path, model=MeasuredModel(name="artist", weights=None))
    assert len(artist.requests) == 2 * LIMIT
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("weights", ["w1", None])
def test_a_stopped_run_goes_on_where_it_was(tmp_path, monkeypatch, scenes, weights):
    monkeypatch.setattr(drawing, "BATCH", 1)
    model = MeasuredModel(name="artist", weights=weights)
    hire(monkeypatch, Artist(scenes, stops_after=2))
    wishes = Wishes(splits=("simple",), limit=3)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, wishes, model)
    artist = hire(monkeypatch, Artist(scenes))
    assert measure(tmp_path, wishes, model).splits["simple"].result.document["drawn"]["number"] == 3
    assert len(artist.requests) == 1


def test_every_layout_has_a_noise_of_its_own(tmp_path, monkeypatch, scenes):
    artist = hire(monkeypatch, Artist(scenes))
    measure(tmp_path, Wishes(splits=("simple",), limit=LIMIT))
    assert [request.seed for request in artist.requests] == [0, 1]
    assert [item.seed for item in load_benchmark("world-regular").items[:2]] == [LAYOUTS, LAYOUTS + 1]
    control = load_benchmark("world-order-control").items[: 2 * LIMIT]
    assert [item.seed for item in control] == [seed for item in control[::2] for seed in (item.seed, item.seed)]
    assert control[1].swapped.of == control[0].key


def test_a_model_that_does_not_listen_flips_nothing(tmp_path, monkeypatch, scenes):
    hire(monkeypatch, Artist(scenes, obeys=False))
    results = measure(tmp_path, Wishes(splits=("simple",), limit=LIMIT, control=True))
    found = control_as_json(results.control, tmp_path)
    assert (found["flipped"], found["right_before"], found["changed_outside"]) == (0, 1, 0)
    assert results.control.result.value("flipped") == found["flipped"]
    assert results.control.result.value("right_before") == found["right_before"]


@pytest.mark.slow
def test_wrong_orders_are_obeyed_and_cost_what_they_should(tmp_path, monkeypatch, scenes):
    monkeypatch.setattr(source, "COUNTS", (1,))
    monkeypatch.setattr(source, "SHAPES", ())
    counted = [source.with_instances(1, 0).scene]
    hire(monkeypatch, Artist([*scenes, *counted]))
    bench = measuring._Bench(model=MODEL, kept=KeptModel("artist"), folder=tmp_path, workers=1, progress=silent)
    settings = {"layouts": 3, "per_count": 1}
    rows = robustness_rows(bench.measured("robustness", load_benchmark("world-robustness", source_settings=settings)))
    named = {row["name"]: row for row in rows}
    assert [name for name, row in named.items() if row["layouts"] == 3][:4] == list(named)[:4]
    assert named["order right"]["figures"]["occ"]["value"] > 0.95
    half = named["order wrong for 50% of pairs"]
    assert half["figures"]["occ"]["value"] < 0.9
    assert half["obeyed"]["value"] > half["figures"]["occ"]["value"]
    assert named["1 instance"]["figures"]["miou"]["value"] > 0.9


def test_wishes_are_checked_all_at_once():
    with pytest.raises(ValueError, match=r"^split: .*got easy\nlimit: expected 1 to 200, got 0$"):
        Wishes(splits=("easy",), limit=0)
    with pytest.raises(ValueError, match=r"^size: expected a multiple of 16, got 100; the nearest is 96$"):
        MeasuredModel(name="artist", weights=None, size=100)


@pytest.mark.slow
def test_calibration_tells_true_renders_from_reversed_ones_and_from_noise(tmp_path):
    from occlusionformer.evaluation import evaluate

    kinds = ("true renders", "reversed orders", "noise")
    plan = calibration_plan(KnownItems("simple", LIMIT, kinds), tmp_path / "known", silent)
    found = calibration_of({"simple": evaluate(plan, tmp_path / "run")})
    named = {trial.kind: trial for trial in found.trials}
    assert tuple(named) == kinds
    assert named["true renders"].figures["occ"].value == named["true renders"].decided_right == 1
    assert named["reversed orders"].figures["occ"].value == named["reversed orders"].decided_right == 0
    assert named["noise"].figures["miou"].value == 0
    assert named["noise"].decided_right is None
    assert calibration_of_json(json.loads(json.dumps(calibration_as_json(found)))) == found
    assert (found.judge, found.edition, found.layouts) == (judge_digest(), EDITION, LIMIT)


def test_all_kinds_of_the_last_split_are_judged_and_true_ones_of_the_others(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(measuring, "calibration_plan", lambda items, pictures, progress: items)
    monkeypatch.setattr(measuring, "calibration_of", lambda results: asked)
    monkeypatch.setattr(
        measuring._Bench,
        "carried_out",
        lambda self, title, items: asked.update({title: items.kinds}) or measuring.Measured(result=None, recorded=None),
    )
    bench = measuring._Bench(model=MODEL, kept=KeptModel("artist"), folder=tmp_path, workers=1, progress=silent)
    measuring._calibrate(bench, Wishes(splits=("simple", "complex"), limit=LIMIT, calibrate=True))
    assert asked["calibration-complex"] == tuple(KINDS)
    assert set(KINDS) - set(asked["calibration-simple"]) >= {"noise", "grain"}


def test_several_processes_judge_the_same_and_say_how_far_they_are(tmp_path, monkeypatch, scenes):
    hire(monkeypatch, Artist(scenes))
    wishes = Wishes(splits=("simple",), limit=3)
    alone = results_as_json(measure(tmp_path / "one", wishes), tmp_path / "one")
    told: list[tuple[str, int, int]] = []
    together = run_benchmark(MODEL, wishes, tmp_path / "two", progress=lambda *each: told.append(each), workers=2)
    assert results_as_json(together, tmp_path / "two") == alone
    assert ("simple: drawing", 3, 3) in told, "pictures are drawn by one process"
    assert ("simple: asking art", 3, 3) in told


def test_pictures_of_another_size_are_asked_for_and_judged(tmp_path, monkeypatch, scenes):
    hire(monkeypatch, Artist(scenes))
    model = MeasuredModel(name="artist", weights="w1", size=256)
    results = measure(tmp_path, Wishes(splits=("simple",), limit=1), model)
    (path,) = (tmp_path / "pictures").iterdir()
    assert Image.open(path).size == (256, 256)
    assert results.splits["simple"].result.value("miou") > 0.9
