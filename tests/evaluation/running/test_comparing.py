"""Two methods on the same items."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from occlusionformer.evaluation import Plan, Result, compare_results, comparison_page, evaluate, read_result
from tests.apps.painter import Painter
from tests.evaluation.running.standins import Feeler, Looker, ShiftedPainter, Sorter, lookers, toy_benchmark

COUNT = 5


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    data = tmp_path_factory.mktemp("toy")
    return Plan(benchmark=toy_benchmark(data, COUNT), method=Painter(), judges=lookers(), name="exact")


@pytest.fixture(scope="module")
def exact(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return evaluate(plan, tmp_path_factory.mktemp("exact"))


@pytest.fixture(scope="module")
def shifted(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return evaluate(replace(plan, method=ShiftedPainter(), name="shifted"), tmp_path_factory.mktemp("shifted"))


def test_differences_are_told_column_by_column(exact: Result, shifted: Result):
    rows = {row.first.column.name: row for row in compare_results(exact, shifted)}
    assert rows["miou"].paired.difference == pytest.approx(exact.value("miou") - shifted.value("miou"))
    assert rows["miou"].paired.difference > 0
    assert (rows["miou"].paired.wins, rows["miou"].paired.losses) == (COUNT, 0)
    assert rows["fid"].paired is None
    assert rows["fid"].why == "no picture by itself"
    json.dumps([row.as_json() for row in rows.values()], allow_nan=False)


def test_exchanging_the_sides_changes_the_sign_alone(exact: Result, shifted: Result):
    forth = {row.first.column.name: row.paired for row in compare_results(exact, shifted)}
    back = {row.first.column.name: row.paired for row in compare_results(shifted, exact)}
    for name, pair in forth.items():
        if pair is not None:
            assert back[name].difference == pytest.approx(-pair.difference)
            assert (back[name].wins, back[name].losses) == (pair.losses, pair.wins)


def test_a_result_is_the_same_after_it_was_read(exact: Result, shifted: Result):
    read = read_result(exact.path)
    assert read.scores == exact.scores
    assert [row.as_json() for row in compare_results(read, shifted)] == [
        row.as_json() for row in compare_results(exact, shifted)
    ]


def test_the_page_shows_both_pictures_of_a_layout(exact: Result, shifted: Result):
    page = comparison_page(exact, shifted, compare_results(exact, shifted))
    assert "exact is better by mIoU" in page
    assert page.count("<img") == 2 * COUNT
    assert "shifted is better by mIoU" not in page


def test_answers_of_different_judges_are_not_compared(plan: Plan, exact: Result, tmp_path: Path):
    other = Looker()
    other.identity = {**other.identity, "revision": "2"}
    second = evaluate(replace(plan, judges=(other, Sorter(), Feeler())), tmp_path / "run")
    rows = {row.first.column.name: row for row in compare_results(exact, second)}
    assert rows["miou"].why == "judged by different judges"
    assert rows["miou"].paired is None
    assert rows["clip_g"].paired is not None


def test_different_items_are_refused(plan: Plan, exact: Result, tmp_path: Path):
    fewer = evaluate(replace(plan, limit=3), tmp_path / "run")
    with pytest.raises(ValueError, match="items: expected the same on both sides"):
        compare_results(exact, fewer)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "scores": [1]}', "\x00"])
def test_what_is_no_result_is_refused(content: str, tmp_path: Path):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError, match=r"result\.json: "):
        read_result(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        read_result(tmp_path / "none.json")
