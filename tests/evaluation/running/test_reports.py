"""What a report shows beside the numbers."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.evaluation import Drawing, Plan, Result, evaluate, read_result, rescore
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.reports.difficulty import GROUPS, LEAST_PICTURES, group_score, groups
from occlusionformer.evaluation.reports.published import reasons_against
from tests.evaluation.running.standins import (
    DEFINITION,
    Looker,
    ShiftedPainter,
    lookers,
    toy_benchmark,
    write_overlaybench,
)

DIFFICULTIES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 9), min_size=1, max_size=60)


@given(DIFFICULTIES)
def test_every_picture_is_in_one_group_and_groups_follow_one_another(difficulty: Mapping[str, float]):
    found = groups(difficulty)
    assert sorted(key for group in found for key in group.keys) == sorted(difficulty)
    assert 1 <= len(found) <= GROUPS + 1
    edges = [edge for group in found for edge in (group.low, group.high)]
    assert edges == sorted(edges)
    assert all(before.high < after.low for before, after in itertools.pairwise(found))


def test_groups_have_about_as_many_pictures_each():
    found = groups({str(place): float(place) for place in range(100)})
    assert [len(group.keys) for group in found] == [20] * 5
    assert [group.middle for group in found] == [9.5, 29.5, 49.5, 69.5, 89.5]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run with enough pictures to be divided by difficulty."""
    folder = tmp_path_factory.mktemp("many")
    plan = Plan(benchmark=toy_benchmark(folder, LEAST_PICTURES + 2), method=ShiftedPainter(), judges=(Looker(),))
    return evaluate(plan, folder / "run")


def test_scores_by_difficulty_are_those_of_the_pictures_alone(many: Result):
    """A pooled share is taken over the judgements of the group, not over its pictures."""
    score = next(score for score in many.scores if score.column.name == "sr_r")
    for group in groups({key: values["total_iou"] for key, values in many.document["difficulty"].items()}):
        totals = dict(zip(score.keys, score.totals, strict=True))
        assert group_score(score, group) == pytest.approx(
            sum(totals[key] for key in group.keys) / (2 * len(group.keys))
        )


def test_difficulty_is_shown_in_numbers(many: Result):
    report = (many.path / "report.html").read_text()
    assert "<h2>By sum of the overlaps of all pairs (IoU)</h2>" in report
    assert "By number of instances" not in report, "all have three"
    rows = list(csv.DictReader((many.path / "difficulty.csv").open(encoding="utf-8")))
    assert {row["measure"] for row in rows} >= {"total_iou"}
    of_one = [row for row in rows if (row["measure"], row["column"]) == ("total_iou", "miou")]
    assert sum(int(row["pictures"]) for row in of_one) == LEAST_PICTURES + 2
    mean = sum(int(row["pictures"]) * float(row["value"]) for row in of_one) / (LEAST_PICTURES + 2)
    assert mean == pytest.approx(many.value("miou"))


def test_few_pictures_are_not_divided_by_difficulty(tmp_path: Path):
    plan = Plan(benchmark=toy_benchmark(tmp_path, LEAST_PICTURES - 1), method=ShiftedPainter(), judges=(Looker(),))
    evaluate(plan, tmp_path / "run")
    assert "By sum of the overlaps" not in (tmp_path / "run" / "report.html").read_text()
    assert len((tmp_path / "run" / "difficulty.csv").read_text().splitlines()) == 1


def test_pictures_are_shown_whole_with_captions_boxes_and_the_reference(many: Result):
    report = (many.path / "report.html").read_text()
    cases = re.findall(r'<div class="case">.*?</figcaption></div>', report, re.DOTALL)
    assert len(cases) == LEAST_PICTURES + 2
    first = cases[0]
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", first)
    assert captions[0] == "reference"
    assert re.fullmatch(r"ShiftedPainter: mIoU 0\.\d{4}", captions[1])
    assert first.count("<img") == 2
    assert re.findall(r'width="(\d+)" height="(\d+)"', first) == [("64", "64")] * 2
    assert re.findall(r"<i></i>([^<]*)<", first) == [
        f"a {name}, number {first_key(first)}" for name in ("cat", "dog", "cup")
    ]
    assert first.count('<span class="box" ') == 6, "the declared boxes on both pictures"
    assert first.count('<span class="box found"') == 3, "and the detected ones on the drawn picture"
    assert report.count('id="boxes"') == 1
    assert "image-rendering: pixelated" in report


def first_key(case: str) -> int:
    return int(re.search(r"item(\d+)", case)[1])


def test_references_are_kept_small_and_not_written_twice(many: Result):
    kept = sorted((many.path / "references").iterdir())
    assert [path.name for path in kept] == [f"item{place:05d}.webp" for place in range(LEAST_PICTURES + 2)]
    before = [path.stat().st_mtime_ns for path in kept]
    rescore(many.path)
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_empty_details_have_no_row_and_missing_numbers_do(many: Result):
    table = (many.path / "table.md").read_text()
    assert "| Dep. WHDR ↓ | not run |" in table
    assert "WHDR ovlX_eq" not in table
    assert {entry["column"]["name"] for entry in many.document["scores"]} >= {"dep_ovlX_eq"}, "the document has all"


def test_what_names_say_is_shown_not_run(tmp_path: Path):
    plan = Plan(
        benchmark=toy_benchmark(tmp_path, 2), method=ShiftedPainter(), judges=(Looker(),), name="<script>x</script>|y"
    )
    evaluate(plan, tmp_path / "run")
    assert "<script>" not in (tmp_path / "run" / "report.html").read_text()
    assert "\\|y" in (tmp_path / "run" / "table.md").read_text()


def published_run(folder: Path, reported_with: Mapping[str, object] | None, model: str, **plan: object) -> Result:
    folder.mkdir(parents=True)
    write_overlaybench(folder, 4)
    definition = {**DEFINITION} if reported_with is None else {**DEFINITION, "reported_with": reported_with}
    (folder / "toy.json").write_text(json.dumps(definition))
    looker = Looker()
    looker.identity = {**looker.identity, "model": model}
    benchmark = load_benchmark(folder / "toy.json")
    return evaluate(Plan(benchmark=benchmark, method=ShiftedPainter(), judges=(looker,), **plan), folder / "run")


STATED = {"source": "arXiv 0000.00000", "items": 4, "judges": {"detect": "Qwen/Qwen2.5-VL-32B-Instruct"}}


@pytest.mark.parametrize(
    ("stated", "model", "plan", "reasons"),
    [
        (STATED, "/models/Qwen2.5-VL-32B-Instruct", {}, []),
        (STATED, "Qwen/Qwen2.5-VL-32B-Instruct", {"limit": 3}, ["3 of 4 pictures"]),
        (STATED, "eyes", {}, ["judged by looker (eyes), published with Qwen/Qwen2.5-VL-32B-Instruct"]),
        (
            {**STATED, "items": 1000, "judges": {}},
            "eyes",
            {},
            ["4 of 1,000 pictures", "the published judge for detect is not stated"],
        ),
        (None, "eyes", {}, ["judges and number of pictures of the published figures are not stated"]),
    ],
)
def test_published_figures_are_marked_with_what_keeps_them_from_being_compared(
    stated: Mapping[str, object] | None, model: str, plan: Mapping[str, object], reasons: list[str], tmp_path: Path
):
    result = published_run(tmp_path / "toy", stated, model, **plan)
    score = next(score for score in result.scores if score.column.name == "miou")
    assert reasons_against(result, score) == reasons
    told = "no: " + "; ".join(reasons) if reasons else "yes: as many pictures, the same judge"
    table = (result.path / "table.md").read_text()
    assert f"| mIoU ↑ | 0.6998 | 0.7405 | {told} |" in table
    assert "| metric | CreatiLayout (published) | OcclusionFormer (published) | comparable with this run |" in table
    ours, published = table.split("## Published figures")
    assert "0.7405" not in ours
    assert "Published by others, not measured here" in published
    report = (result.path / "report.html").read_text()
    assert "<h2>Published figures, not measured here</h2>" in report
    assert f"looker ({model})" in ours


def test_a_served_model_is_known_by_what_it_was_loaded_from(tmp_path: Path):
    (tmp_path / "toy").mkdir()
    write_overlaybench(tmp_path / "toy", 4)
    (tmp_path / "toy" / "toy.json").write_text(json.dumps({**DEFINITION, "reported_with": STATED}))
    looker = Looker()
    looker.identity = {**looker.identity, "model": "judge", "revision": "Qwen/Qwen2.5-VL-32B-Instruct"}
    plan = Plan(benchmark=load_benchmark(tmp_path / "toy" / "toy.json"), method=ShiftedPainter(), judges=(looker,))
    result = evaluate(plan, tmp_path / "run")
    assert reasons_against(result, result.scores[0]) == []


def test_packaged_figures_state_their_source_judges_and_number_of_pictures():
    from occlusionformer.evaluation.benchmarks.definition import Definition
    from tests.evaluation.benchmarks.test_definition import definitions

    reported = [each for each in definitions() if each.reported]
    assert len(reported) >= 4
    for each in reported:
        assert isinstance(each, Definition)
        assert each.reported_with is not None
        assert "arXiv" in each.reported_with.source
        assert each.reported_with.items >= 1000


def test_a_run_of_another_note_or_published_figure_goes_on(tmp_path: Path):
    """What is merely printed may be corrected; what moves numbers may not."""
    first = published_run(tmp_path / "toy", STATED, "eyes")
    definition = {**DEFINITION, "notes": ["Corrected."], "title": "Other", "reported": {}}
    (tmp_path / "toy" / "toy.json").write_text(json.dumps(definition))
    looker = Looker()
    plan = Plan(benchmark=load_benchmark(tmp_path / "toy" / "toy.json"), method=ShiftedPainter(), judges=(looker,))
    again = evaluate(replace(plan, name="ShiftedPainter"), first.path)
    assert again.document["run"]["config"] == first.document["run"]["config"]
    assert looker.asked == 0
    other = replace(plan, drawing=Drawing(seed=5))
    with pytest.raises(ValueError, match="drawing: this folder holds a run with"):
        evaluate(other, first.path)


def test_unreadable_replies_are_told_in_the_table_of_judges(many: Result, tmp_path: Path):
    document = json.loads((many.path / "result.json").read_text())
    document["judges"][0]["questions"]["detect"]["unreadable replies"] = 3
    (tmp_path / "result.json").write_text(json.dumps(document))
    from occlusionformer.evaluation.reports.writing import _judge_rows

    rows = _judge_rows(read_result(tmp_path))
    assert [row[3] for row in rows if row[1] == "detect"] == ["0; 3 replies unreadable, counted as no"]


def test_judges_that_are_objects_are_told_by_name_and_model(tmp_path: Path):
    result = evaluate(
        Plan(benchmark=toy_benchmark(tmp_path, 2), method=ShiftedPainter(), judges=lookers()), tmp_path / "run"
    )
    table = (result.path / "table.md").read_text()
    assert "| looker (eyes) |" in table
    assert "| sorter (rule) |" in table
