"""Several results in one table, for people, for papers and for programs."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.evaluation import Drawing, Plan, Result, evaluate, summarise
from occlusionformer.evaluation.reports import (
    chosen_items,
    common_items,
    csv_text,
    labels,
    latex_text,
    picture_grid,
    summary_page,
    summary_table,
)
from occlusionformer.evaluation.reports.export import latex_escaped
from tests.apps.painter import Painter
from tests.evaluation.running.standins import Looker, ShiftedPainter, toy_benchmark

COUNT = 4


class Wobbling(ShiftedPainter):
    """Misses by as many pixels as its seed says."""

    def generate(self, requests, *, on_step=None):
        drawn = Painter.generate(self, requests, on_step=on_step)
        return [np_roll(each, request.seed) for each, request in zip(drawn, requests, strict=True)]


def np_roll(drawn, shift):
    return Image.fromarray(np.roll(np.asarray(drawn.image), (shift, shift), axis=(0, 1)))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    data = tmp_path_factory.mktemp("toy")
    return Plan(benchmark=toy_benchmark(data, COUNT), method=Wobbling(), judges=(Looker(),), name="a_b & 50%")


@pytest.fixture(scope="module")
def runs(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Three seeds of one method, and one of another."""
    folder = tmp_path_factory.mktemp("runs")
    found = [evaluate(replace(plan, drawing=Drawing(seed=seed)), folder / f"s{seed}") for seed in (0, 1, 2)]
    return [*found, evaluate(replace(plan, method=Painter(), name="exact"), folder / "exact")]


def test_seeds_become_mean_and_deviation(runs: list[Result]):
    (summary,) = summarise(runs)
    assert [(row.label, row.seeds) for row in summary.rows] == [("a_b & 50%", (0, 1, 2)), ("exact", (0,))]
    values = [run.value("miou") for run in runs[:3]]
    cell = summary.rows[0].cells["miou"]
    assert len(set(values)) == 3
    assert cell.mean == pytest.approx(sum(values) / 3)
    assert cell.deviation == pytest.approx(float(np.std(values, ddof=1)))
    assert (cell.num_runs, cell.num_images, cell.judge) == (3, COUNT, "looker (eyes)")
    assert (cell.low, cell.high) == (None, None), "intervals are of one run"
    alone = summary.rows[1].cells["miou"]
    assert (alone.deviation, alone.num_runs) == (None, 1)
    assert alone.low <= alone.mean <= alone.high
    assert [column.name for column in summary.columns] == ["miou", "o_miou", "sr_e", "sr_r"]


def test_columns_can_be_chosen_and_unknown_ones_are_refused(runs: list[Result]):
    (summary,) = summarise(runs, columns=["sr_e", "miou"])
    assert [column.name for column in summary.columns] == ["sr_e", "miou"]
    with pytest.raises(ValueError, match=r"metrics: expected some of \(.*miou.*\), got 'mAP'"):
        summarise(runs, columns=["mAP"])
    with pytest.raises(ValueError, match="expected every result once"):
        summarise([runs[0], runs[0]])


def test_runs_that_differ_in_more_than_the_seed_are_rows_of_their_own(plan: Plan, runs: list[Result], tmp_path: Path):
    fewer = evaluate(replace(plan, limit=2), tmp_path / "fewer")
    slower = evaluate(replace(plan, drawing=Drawing(seed=0, steps=9)), tmp_path / "slower")
    (summary,) = summarise([runs[0], fewer, slower])
    assert [row.label for row in summary.rows] == [
        "a_b & 50% (4 items)", "a_b & 50% (2 items)", "a_b & 50% (steps 9, 4 items)"
    ]  # fmt: skip
    other = Looker()
    other.identity = {**other.identity, "model": "glasses"}
    judged = evaluate(replace(plan, judges=(other,)), tmp_path / "judged")
    (summary,) = summarise([runs[0], judged])
    assert [row.label for row in summary.rows] == [
        "a_b & 50% (judged by looker eyes)", "a_b & 50% (judged by looker glasses)"
    ]  # fmt: skip


def test_results_of_one_method_are_told_apart(plan: Plan, runs: list[Result], tmp_path: Path):
    assert labels(runs[:2]) == ["a_b & 50% (seed 0)", "a_b & 50% (seed 1)"]
    assert labels([runs[0], runs[3]]) == ["a_b & 50%", "exact"]
    again = evaluate(plan, tmp_path / "again")
    assert labels([runs[0], again]) == ["a_b & 50% (s0)", "a_b & 50% (again)"]
    assert labels([replace(runs[0], path=None), replace(again, path=None)]) == ["a_b & 50% #1", "a_b & 50% #2"]


def test_latex_is_a_table_that_latex_reads(runs: list[Result]):
    text = latex_text(summarise(runs), published=True)
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{lrrrr}"
    assert lines[-1] == r"\end{tabular}"
    assert lines[1:3] == [
        r"\toprule",
        r"Method & mIoU $\uparrow$ & O-mIoU $\uparrow$ & SR\_E $\uparrow$ & SR\_R $\uparrow$ \\",
    ]
    rows = [line for line in lines if line.startswith((r"a\_b", "exact", "OcclusionFormer", "CreatiLayout"))]
    assert len(rows) == 4
    assert all(len(re.findall(r"(?<!\\)&", line)) == 4 and line.endswith(r" \\") for line in rows)
    assert rows[0].startswith(r"a\_b \& 50\% & 0.")
    assert re.search(r"0\.\d{4} \$\\pm\$ 0\.\d{4}", rows[0])
    assert r"\textbf{" in rows[1]
    assert rows[2] == r"CreatiLayout & 0.6998 & 0.4725 & -- & -- \\"
    assert lines.index(rows[2]) > lines.index(r"\multicolumn{5}{l}{\emph{Published, not measured here}} \\")
    assert "% a_b & 50%: 3 runs (seed 0, 1, 2), 4 pictures, judged by looker (eyes)" in text
    assert "% mIoU: not comparable, " in text
    assert "OcclusionFormer" not in latex_text(summarise(runs)), "only on demand"


def test_latex_specials_are_escaped():
    assert latex_escaped(r"a\b_{c}~^#$%&") == (r"a\textbackslash{}b\_\{c\}\textasciitilde{}\textasciicircum{}\#\$\%\&")


def test_csv_has_a_line_for_every_number(runs: list[Result]):
    rows = list(csv.DictReader(io.StringIO(csv_text(summarise(runs)))))
    measured = [row for row in rows if row["source"] == "measured"]
    assert len(measured) == 2 * 4
    first = measured[0]
    assert (first["method"], first["column"], first["runs"], first["seeds"]) == ("a_b & 50%", "miou", "3", "0 1 2")
    assert math.isclose(float(first["mean"]), sum(run.value("miou") for run in runs[:3]) / 3)
    published = [row for row in rows if row["source"].startswith("published: ")]
    assert [(row["method"], row["column"], row["mean"]) for row in published] == [
        ("CreatiLayout", "miou", "0.6998"), ("CreatiLayout", "o_miou", "0.4725"), ("OcclusionFormer", "miou", "0.7405")
    ]  # fmt: skip
    assert all(row["not_comparable_because"] for row in published)


def test_a_name_is_no_formula_for_a_spreadsheet(plan: Plan, tmp_path: Path):
    result = evaluate(replace(plan, name="=1+1", limit=1), tmp_path / "run")
    rows = list(csv.DictReader(io.StringIO(csv_text(summarise([result])))))
    assert rows[0]["method"] == "'=1+1"


def test_a_terminal_gets_aligned_lines(runs: list[Result]):
    lines = summary_table(summarise(runs)[0], published=True)
    assert lines[0] == "Toy OverLayBench"
    assert lines[1].split()[:2] == ["method", "runs"]
    assert " ± " in lines[2]
    assert lines[4].startswith("CreatiLayout (published) ")


def test_the_page_has_tables_and_the_same_layouts_side_by_side(runs: list[Result]):
    page = summary_page(summarise(runs), published=True)
    assert "<h2>Toy OverLayBench</h2>" in page
    assert page.count('<div class="case">') == COUNT
    case = page.split('<div class="case">')[1]
    assert re.findall(r"<figcaption>([^<]*)</figcaption>", case)[:3] == ["reference", "a_b &amp; 50%", "exact"]
    assert "OcclusionFormer (published)" in page
    assert "mIoU: not comparable, " in page


def test_a_grid_shows_every_picture_where_it_belongs(runs: list[Result]):
    results = [runs[3], runs[0]]
    items = chosen_items(common_items(results), ["item00002", "item00000"], 6)
    grid = np.asarray(picture_grid(results, items, side=64))
    label, gap = round(64 * 0.11), 8
    assert grid.shape == (label + 2 * 64 + gap, 3 * 64 + 2 * gap, 3)
    for row, item in enumerate(items):
        for column, result in ((1, runs[3]), (2, runs[0])):
            picture = np.asarray(Image.open(result.path / "pictures" / f"{item.key}.png"))
            top, left = label + row * (64 + gap), column * (64 + gap)
            np.testing.assert_array_equal(grid[top : top + 64, left : left + 64], picture)
    with_boxes = np.asarray(picture_grid(results, items, side=64, boxes=True))
    assert (with_boxes != grid).any()


def test_layouts_are_spread_over_all_that_are_common(plan: Plan, runs: list[Result], tmp_path: Path):
    fewer = evaluate(replace(plan, limit=3), tmp_path / "run")
    items = common_items([runs[0], fewer])
    assert list(items) == ["item00000", "item00001", "item00002"]
    assert [item.key for item in chosen_items(items, [], 2)] == ["item00000", "item00001"]
    with pytest.raises(ValueError, match="items: expected a common item, got 'item00003'"):
        chosen_items(items, ["item00003"], 2)
    with pytest.raises(ValueError, match="number: expected at least 1, got 0"):
        chosen_items(items, [], 0)
    with pytest.raises(ValueError, match="side: expected 16 to 2048 pixels, got 9999"):
        picture_grid([fewer], list(items.values()), side=9999)
    (fewer.path / "pictures" / "item00001.png").unlink()
    with pytest.raises(ValueError, match="expected a picture of item00001, found none"):
        picture_grid([fewer], list(items.values()), side=64)
