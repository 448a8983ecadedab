from __future__ import annotations

import pickle

import pytest

from occlusionformer.evaluation import Plan
from occlusionformer.evaluation.benchmark import Question
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.judges.artwork import load_art
from occlusionformer.evaluation.records import picture_digest
from occlusionformer.evaluation.scenes import layouts
from occlusionformer.evaluation.scores import score


@pytest.fixture
def few(monkeypatch):
    """Three layouts of a split."""
    monkeypatch.setattr(
        "occlusionformer.evaluation.benchmarks.sources.scenes.bench_series",
        lambda split, world="first", series=0: layouts.bench_scenes(split, 3),
    )
    return load_benchmark("scenes-regular").items


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
    assert [item.layout for item in load_benchmark("scenes-regular").items] == [item.layout for item in few]


def test_only_items_that_are_taken_are_made(monkeypatch):
    made = layouts.BenchSeries("regular")
    where = "occlusionformer.evaluation.benchmarks.sources.scenes.bench_series"
    monkeypatch.setattr(where, lambda split, world="first", series=0: made)
    drawn = []
    draw = layouts.draw_scene
    monkeypatch.setattr(layouts, "draw_scene", lambda index, **rest: drawn.append(index) or draw(index, **rest))
    benchmark = load_benchmark("scenes-regular")
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
                "background": 0.0,
                "clutter": 0.0,
                "sharpness": 1.0,
                "blockiness": 0.0,
                "lighting": 0.0,
            },
        }
        judged.append((item.key, item, answers))
    for found in score(load_benchmark("scenes-regular").metrics, judged):
        if found.value is not None and found.column.name != "occ_none":
            assert found.value == (1 if found.column.higher_is_better else 0)
    assert load_art(None).kinds >= {question.kind for question in load_benchmark("scenes-regular").questions}
