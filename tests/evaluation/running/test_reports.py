"""What a report shows beside the numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.evaluation import Plan, evaluate
from occlusionformer.evaluation.reports.writing import BINS, LEAST_PICTURES, _binned
from tests.evaluation.running.standins import Looker, ShiftedPainter, toy_benchmark

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), min_size=1, max_size=60)


@given(PAIRS)
def test_a_curve_goes_through_every_picture_once(pairs: list[tuple[int, float]]):
    values = {str(place): value for place, (_, value) in enumerate(pairs)}
    points = _binned(values, {str(place): float(hard) for place, (hard, _) in enumerate(pairs)})
    assert 1 <= len(points) <= BINS + 1
    assert [x for x, _ in points] == sorted({x for x, _ in points})
    assert min(values.values()) - 1e-9 <= min(y for _, y in points)
    assert max(y for _, y in points) <= max(values.values()) + 1e-9


def test_a_curve_tells_where_scores_fall():
    values = {str(place): 1.0 if place < 50 else 0.0 for place in range(100)}
    points = _binned(values, {str(place): float(place) for place in range(100)})
    assert [round(y, 9) for _, y in points] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert math.isclose(points[0][0], 9.5)


@pytest.mark.parametrize("count", [LEAST_PICTURES - 1, LEAST_PICTURES + 2])
def test_curves_need_enough_pictures(count: int, tmp_path: Path):
    plan = Plan(benchmark=toy_benchmark(tmp_path, count), method=ShiftedPainter(), judges=(Looker(),))
    evaluate(plan, tmp_path / "run")
    report = (tmp_path / "run" / "report.html").read_text()
    assert ("By sum of the overlaps" in report) == (count >= LEAST_PICTURES)
    assert "By number of instances" not in report  # all have three


def test_what_names_say_is_shown_not_run(tmp_path: Path):
    plan = Plan(
        benchmark=toy_benchmark(tmp_path, 2), method=ShiftedPainter(), judges=(Looker(),), name="<script>x</script>|y"
    )
    evaluate(plan, tmp_path / "run")
    assert "<script>" not in (tmp_path / "run" / "report.html").read_text()
    assert "\\|y" in (tmp_path / "run" / "table.md").read_text()
