"""Benchmarks of layouts that are made on the spot: the same for everybody, and true."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest

from occlusionformer.evaluation import Plan
from occlusionformer.evaluation.benchmark import Question
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.judges.artwork import load_art
from occlusionformer.evaluation.records import picture_digest
from occlusionformer.evaluation.scenes import layouts
from occlusionformer.evaluation.scenes.robustness import COUNTS, SHAPES, conditions
from occlusionformer.evaluation.scores import score
from tests.tables import for_each

CHANGED = {"layouts": 2, "per_count": 1}
"""Settings of a short benchmark of robustness: 30 items."""


@pytest.fixture
def few(monkeypatch):
    """Three layouts of a split."""
    monkeypatch.setattr(
        "occlusionformer.evaluation.benchmarks.sources.scenes.bench_series",
        lambda split, series=0: layouts.bench_scenes(split, 3),
    )
    return load_benchmark("world-regular").items


@for_each(
    "name, settings, count, pinned",
    [
        ("world-simple", {}, 4, "2b8b07c5981917fe"),
        ("world-regular", {}, 4, "4125a30a4608dd43"),
        ("world-complex", {}, 4, "128e1fb2e01251f0"),
        ("world-order-control", {"pairs": 3}, 6, "8c3992483d2f013d"),
        ("world-robustness", CHANGED, 30, "cba2a46640cc021d"),
    ],
)
def test_items_are_those_that_figures_were_published_for(name, settings, count, pinned):
    """A change of a digest is a new benchmark, whose figures cannot be compared with the old ones."""
    found = hashlib.sha256()
    for item in load_benchmark(name, source_settings=settings).items[:count]:
        told = (item.key, item.seed, item.groups, item.truth.categories, item.truth.order)
        found.update(json.dumps([*told, item.layout.model_dump(mode="json")], sort_keys=True).encode())
    assert found.hexdigest()[:16] == pinned


@for_each(
    "name, settings, place, colour, behind",
    [
        ("world-simple", {}, 3, (185.703, 194.631, 231.543), (177.268, 216.092, 249.765)),
        ("world-regular", {}, 3, (205.436, 183.893, 135.447), (235.743, 211.047, 129.752)),
        ("world-complex", {}, 3, (88.096, 85.644, 75.662), (36.0, 41.0, 44.0)),
        ("world-order-control", {"pairs": 3}, 5, (81.156, 67.333, 96.418), (49.462, 47.843, 69.074)),
        ("world-robustness", CHANGED, 16, (177.308, 187.435, 211.79), (180.401, 217.321, 246.741)),
        ("world-robustness", CHANGED, 29, (94.325, 89.707, 99.342), (48.13, 49.899, 70.909)),
    ],
)
def test_pictures_are_those_that_figures_were_published_for(name, settings, place, colour, behind):
    """Mean colours of the picture and of its background, of 255, far finer than any other scene would have them."""
    item = load_benchmark(name, source_settings=settings).items[place]
    for picture, mean in ((item.reference(), colour), (item.background.load(), behind)):
        assert np.asarray(picture).mean((0, 1)) == pytest.approx(mean, abs=0.02)


def test_layouts_are_changed_then_of_other_shapes_then_crowded():
    benchmark = load_benchmark("world-robustness", source_settings=CHANGED)
    assert benchmark.groups == conditions()
    shapes = [item.truth.frame for item in benchmark.items if item.groups[0].startswith("canvas")]
    assert shapes == [shape for shape in SHAPES for _ in range(2)]
    crowds = [len(item.truth.names) for item in benchmark.items if "instance" in item.groups[0]]
    assert crowds == list(COUNTS)


def test_scenes_say_what_is_true_of_them(few):
    assert [item.key for item in few] == ["regular-000", "regular-001", "regular-002"]
    for item in few:
        count = len(item.layout.instances)
        assert len(item.truth.categories) == len(item.truth.boxes) == count
        assert item.layout.zorder is not None
        for i, row in enumerate(item.truth.order):
            for j, value in enumerate(row):
                assert value != 1 or (i, j) in item.layout.zorder.edges
                assert (item.truth.depth[i][j] == 1) == (value == 1)
        assert item.reference().size == (item.layout.width, item.layout.height)
        assert item.background.load().size == item.reference().size
        assert item.background.digest == picture_digest(item.background.load())


def test_another_run_has_the_same_scenes(few):
    assert [item.layout for item in load_benchmark("world-regular").items] == [item.layout for item in few]


def test_only_items_that_are_taken_are_made(monkeypatch):
    made = layouts.BenchSeries("regular")
    where = "occlusionformer.evaluation.benchmarks.sources.scenes.bench_series"
    monkeypatch.setattr(where, lambda split, series=0: made)
    drawn = []
    draw = layouts.draw_scene
    monkeypatch.setattr(layouts, "draw_scene", lambda index, **rest: drawn.append(index) or draw(index, **rest))
    benchmark = load_benchmark("world-regular")
    assert len(benchmark.items) == benchmark.settings["num_items"] == layouts.LAYOUTS
    assert drawn == []
    assert [item.key for item in Plan(benchmark=benchmark, method="x", limit=2).items_of(benchmark)] == [
        "regular-000",
        "regular-001",
    ]
    assert 2 <= len(drawn) < 20
    assert pickle.loads(pickle.dumps(benchmark.items)) == benchmark.items


def test_metrics_take_the_truth_for_perfect(few):
    judged = []
    for item in few:
        detected = {}
        for box, category in zip(item.truth.boxes, item.truth.categories, strict=True):
            detected.setdefault(category, []).append(list(box))
        answers = {
            Question("detect"): detected,
            Question("order"): [[int(value == 1) for value in row] for row in item.truth.order],
            Question("depth"): [list(row) for row in item.truth.depth],
            Question("entity"): dict.fromkeys(item.truth.names, "yes"),
            Question("appearance"): {
                "completeness": 1.0,
                "colour": 1.0,
                "background": 0.0,
                "clutter": 0.0,
                "sharpness": 1.0,
                "blockiness": 0.0,
                "lighting": 0.0,
            },
        }
        judged.append((item.key, item, answers))
    for found in score(load_benchmark("world-regular").metrics, judged):
        if found.value is not None and found.column.name != "occ_none":
            assert found.value == (1 if found.column.higher_is_better else 0)
    assert load_art(None).kinds >= {question.kind for question in load_benchmark("world-regular").questions}
