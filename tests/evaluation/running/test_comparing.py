"""Two methods on the same items."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from occlusionformer.evaluation import Drawing, Plan, Result, compare_results, comparison_page, evaluate, read_result
from tests.apps.painter import Painter
from tests.evaluation.running.standins import Feeler, Looker, ShiftedPainter, Sorter, lookers, toy_benchmark
from tests.tables import for_each

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
    assert page.count("<img") == 3 * COUNT, "and the reference"
    assert "shifted is better by mIoU" not in page
    assert f"the {COUNT} pictures they have in common (exact has {COUNT}, shifted has {COUNT})" in page


def test_answers_of_different_judges_are_not_compared(plan: Plan, exact: Result, tmp_path: Path):
    other = Looker()
    other.identity = {**other.identity, "revision": "2"}
    second = evaluate(replace(plan, judges=(other, Sorter(), Feeler())), tmp_path / "run")
    rows = {row.first.column.name: row for row in compare_results(exact, second)}
    assert rows["miou"].why == "judged by different judges"
    assert rows["miou"].paired is None
    assert rows["clip_g"].paired is not None


def test_results_are_compared_on_the_pictures_both_have(plan: Plan, exact: Result, shifted: Result, tmp_path: Path):
    fewer = evaluate(replace(plan, method=ShiftedPainter(), limit=3), tmp_path / "run")
    rows = {row.first.column.name: row for row in compare_results(exact, fewer)}
    alone = evaluate(replace(plan, limit=3), tmp_path / "alone")
    for name in ("miou", "sr_e", "clip_l", "occ_f1"):
        assert rows[name].num_common == 3
        assert rows[name].first_value == pytest.approx(alone.value(name)), "scored over the three again"
        assert rows[name].second_value == pytest.approx(fewer.value(name))
        assert rows[name].paired.difference == pytest.approx(alone.value(name) - fewer.value(name))
    assert (rows["fid"].first_value, rows["fid"].why) == (None, "of different pictures")
    page = comparison_page(exact, fewer, list(rows.values()))
    assert f"the 3 pictures they have in common (exact (Painter, 5 items) has {COUNT}, " in page


def test_items_that_are_not_the_same_are_refused(plan: Plan, exact: Result, tmp_path: Path):
    items = list(plan.benchmark.items)
    moved = replace(items[1], layout=items[1].layout.model_copy(update={"prompt": "something else"}))
    other = replace(plan, benchmark=replace(plan.benchmark, items=[items[0], moved, *items[2:]]))
    with pytest.raises(ValueError, match=r"they differ for item00001$"):
        compare_results(exact, evaluate(other, tmp_path / "run"))


def test_older_results_without_digests_of_items_need_the_same_items(plan: Plan, exact: Result, tmp_path: Path):
    fewer = evaluate(replace(plan, limit=3), tmp_path / "run")
    document = {name: value for name, value in fewer.document.items() if name != "item digests"}
    with pytest.raises(ValueError, match="items: expected the same on both sides, since an older result"):
        compare_results(exact, replace(fewer, document=document))


def test_other_settings_are_not_compared(plan: Plan, exact: Result, tmp_path: Path):
    small = replace(plan.benchmark, settings={**plan.benchmark.settings, "source": {"format": "other"}})
    with pytest.raises(ValueError, match="benchmark: expected the same on both sides"):
        compare_results(exact, evaluate(replace(plan, benchmark=small), tmp_path / "run"))


def test_two_results_of_one_method_are_told_apart(plan: Plan, exact: Result, tmp_path: Path):
    again = evaluate(replace(plan, drawing=Drawing(seed=7)), tmp_path / "run")
    page = comparison_page(exact, again, compare_results(exact, again))
    assert "exact (seed 0) minus exact (seed 7)" in page
    assert "exact minus exact" not in page


@for_each("content", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "scores": [1]}', "\x00"])
def test_what_is_no_result_is_refused(content: str, tmp_path: Path):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError, match=r"result\.json: "):
        read_result(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        read_result(tmp_path / "none.json")
