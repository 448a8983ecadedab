from __future__ import annotations

import pytest

from occlusionformer.evaluation.benchmark import Question
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.judges.artwork import load_art
from occlusionformer.evaluation.scenes import layouts
from occlusionformer.evaluation.scores import score


@pytest.fixture
def few(monkeypatch):
    """Three layouts of a split."""
    monkeypatch.setattr(
        "occlusionformer.evaluation.benchmarks.sources.scenes.bench_scenes",
        lambda split: layouts.bench_scenes(split, 3),
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


def test_another_run_has_the_same_scenes(few):
    assert [item.layout for item in load_benchmark("scenes-regular").items] == [item.layout for item in few]


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
        }
        judged.append((item.key, item, answers))
    for found in score(load_benchmark("scenes-regular").metrics, judged):
        if found.value is not None and found.column.name != "occ_none":
            assert found.value == (1 if found.column.higher_is_better else 0)
    assert load_art(None).kinds >= {question.kind for question in load_benchmark("scenes-regular").questions}
