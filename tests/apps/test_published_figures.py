"""Figures of model cards, from results as commands write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlusionformer.apps.published_figures import figures_of, tables_of
from occlusionformer.evaluation import Plan, evaluate
from occlusionformer.evaluation.running import drawing
from occlusionformer.evaluation.scenes.layouts import bench_scenes
from occlusionformer.evaluation.scenes.measuring import MeasuredModel, Wishes, run_benchmark
from occlusionformer.evaluation.scenes.results import write_results
from occlusionformer.pipelines.hub import example_layout
from occlusionformer.pipelines.hub_card import ModelDescription, card_text
from tests.apps.painter import Painter
from tests.evaluation.running.standins import lookers, toy_benchmark
from tests.evaluation.scenes.artist import Artist, silent

INDEX = {
    "branch": ["occlusionformer.methods.occlusionformer", "OcclusionFormer"], "default_steps": 28, "default_size": 1024,
    "default_grounding_ratio": 0.3, "default_guidance": 3.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("toy")
    plan = Plan(benchmark=toy_benchmark(data, 2), method=Painter(), judges=lookers(), weights="w1")
    return evaluate(plan, tmp_path_factory.mktemp("run")).path


def test_an_evaluation(result):
    (table,) = figures_of(result, "w1")
    assert table == figures_of(result / "result.json", None)[0]
    assert table.title.startswith("`toy`, 2 pictures; code ")
    document = json.loads((result / "result.json").read_text())
    shown = {each["column"]["title"]: each["value"] for each in document["scores"] if each["value"] is not None}
    assert {title: value for title, value, *_ in table.rows} == shown
    card = card_text(ModelDescription(repo="me/it", licence="mit", figures=(table,)), example_layout(1024), INDEX)
    title, value, low, high, pictures = next(row for row in table.rows if row[2] is not None)
    assert f"| {title} | {value:.3f} | {low:.3f} to {high:.3f} | {pictures} |" in card.splitlines()


def test_the_benchmark_of_scenes(tmp_path, monkeypatch):
    artist = Artist(bench_scenes("simple", 4))
    monkeypatch.setattr(drawing, "load_generator", lambda model: artist)
    model = MeasuredModel(name="artist", weights="w1")
    results = run_benchmark(model, Wishes(splits=("simple",), limit=2), tmp_path, progress=silent)
    write_results(results, tmp_path)
    (table,) = figures_of(tmp_path, "w1")
    assert table.title.startswith("`bench scenes`, simple: 2 layouts, ")
    assert ("miou", 2) in {(row[0], row[4]) for row in table.rows}


def test_figures_of_other_weights_are_refused(result):
    said = f"--result: {result}/result.json: weights: expected w2..., those to publish, got 'w1'..."
    assert tables_of([result], "w2") == ([], [said])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "expected a result of `eval` or `bench scenes`, got list"),
        ("{", "expected JSON: "),
        ("{}", "expected a result of an evaluation: KeyError: 'format'"),
        ('{"benchmark": "scenes"}', "format: expected 2, got None"),
        ('{"benchmark": "scenes", "format": 2}', "expected results of `bench scenes`: KeyError: 'provenance'"),
        ('{"format": 1, "scores": [], "run": 3}', "expected a result of an evaluation: TypeError: "),
    ],
)
def test_what_is_no_result_is_refused(text, expected, tmp_path):
    (tmp_path / "result.json").write_text(text)
    tables, problems = tables_of([tmp_path], None)
    assert tables == []
    assert problems[0].startswith(f"--result: {tmp_path}/result.json: {expected}")


def test_a_result_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no such file, nor a folder with a"):
        figures_of(tmp_path / "none", None)
