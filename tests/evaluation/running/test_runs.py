"""Whole runs: drawn, judged, scored, stopped, gone on with, replayed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL import Image

from occlusionformer.evaluation import Drawing, Plan, Result, RunOptions, Shard, evaluate, read_result, rescore
from occlusionformer.evaluation.judgement import JudgeAnswer, JudgementError, JudgeRequest, JudgeUnavailableError
from occlusionformer.evaluation.records import read_lines
from occlusionformer.generation import GeneratedImage, GenerationRequest
from tests.evaluation.running.standins import (
    Feeler,
    Looker,
    ShiftedPainter,
    Sorter,
    lookers,
    paint,
    toy_benchmark,
)

COUNT = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    toy_benchmark(folder, COUNT)
    return folder


@pytest.fixture
def plan(data: Path) -> Plan:
    return Plan(benchmark=toy_benchmark(data), method=ShiftedPainter(), judges=lookers(), name="painter")


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody may change."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    evaluate(Plan(benchmark=toy_benchmark(data), method=ShiftedPainter(), judges=lookers(), name="painter"), folder)
    return folder


def document(folder: Path) -> dict:
    """A result without the state of the working tree, which others may change while tests run."""
    found = json.loads((folder / "result.json").read_text())
    del found["run"]["code"]
    return found


def test_a_run_leaves_result_table_and_report(finished: Path):
    result = read_result(finished)
    status = {score.column.name: score.status for score in result.scores}
    assert set(status.values()) == {"ok", "empty"}
    assert {name for name in status if status[name] == "empty"} < {name for name in status if name.startswith("dep_")}
    assert 0.5 < result.value("miou") < 1
    assert result.value("fid") > 0
    table = (finished / "table.md").read_text()
    assert "| mIoU ↑ | 0." in table
    assert "0.7405" in table
    report = (finished / "report.html").read_text()
    for heading in ("Results", "Worst by mIoU", "Judges", "What moves these numbers"):
        assert f"<h2>{heading}</h2>" in report
    assert report.count("<img") == 2 * COUNT, "every picture and its reference"
    assert {path.name for path in finished.iterdir() if path.suffix in (".csv", ".tex")} == {
        "table.csv", "table.tex", "difficulty.csv"
    }  # fmt: skip


def test_a_result_says_everything_that_moves_it(finished: Path):
    found = json.loads((finished / "result.json").read_text())
    run = found["run"]
    assert run["drawing"] == {"seed": 0, "steps": None, "guidance": None, "grounding_ratio": None, "strength": 1.0}
    assert run["benchmark"]["settings"]["source"]["size"] == 64
    assert len(run["config"]) == 64
    assert run["code"].keys() >= {"commit", "changed", "torch", "occlusionformer", "python"}
    assert found["drawn"]["ways"][0]["steps"] == 4
    assert [judge["identity"]["name"] for judge in found["judges"]] == ["looker", "sorter", "feeler"]
    assert found["scores"][0]["judges"]["detect"]["settings"] == {"least": 0.2}
    assert found["scores"][0]["settings"]["matching"].startswith("greedy")


def test_replay_computes_the_same_bytes_from_the_records_alone(finished: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "pictures")
    for name in ("result.json", "table.md", "report.html"):
        (copy / name).unlink()
    rescore(copy)
    assert (copy / "result.json").read_bytes() == (finished / "result.json").read_bytes()
    assert (copy / "table.md").read_bytes() == (finished / "table.md").read_bytes()


def test_a_finished_run_asks_nobody_again(finished: Path, plan: Plan, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    judges, painter = lookers(), ShiftedPainter()
    evaluate(replace(plan, judges=judges, method=painter), copy)
    assert painter.requests == []
    assert judges[0].asked == 0
    assert document(copy) == document(finished)


def test_items_are_drawn_in_the_order_that_judges_see_in_the_references(data: Path, tmp_path: Path):
    painter = ShiftedPainter()
    evaluate(Plan(benchmark=toy_benchmark(data), method=painter, judges=lookers()), tmp_path / "run")
    assert len(painter.requests) == COUNT
    conditioned = read_result(tmp_path / "run").document["drawn"]["conditioned"]
    assert conditioned == {"on": "order of the reference", "number": COUNT}
    for request in painter.requests:
        assert request.layout.zorder.edges == {(1, 0), (2, 0), (2, 1)}
        assert request.seed == 0


def test_without_a_judge_of_order_items_are_drawn_without_one(data: Path, tmp_path: Path):
    painter = ShiftedPainter()
    result = evaluate(Plan(benchmark=toy_benchmark(data), method=painter, judges=(Looker(),)), tmp_path / "run")
    assert all(request.layout.zorder is None for request in painter.requests)
    status = {score.column.name: score.status for score in result.scores}
    assert status["miou"] == "ok"
    assert status["fid"] == status["clip_g"] == "not run"
    why = {entry["column"]["name"]: entry["why"] for entry in result.document["scores"]}
    assert why["fid"] == "no judge for fid_features"
    assert "| FID ↓ | not run |" in (tmp_path / "run" / "table.md").read_text()


@pytest.mark.parametrize("parts", [2, 5])
def test_shares_together_are_the_whole(parts: int, plan: Plan, finished: Path, tmp_path: Path):
    for part in reversed(range(parts)):
        evaluate(plan, tmp_path / "run", options=RunOptions(shard=Shard(part, parts)))
    assert document(tmp_path / "run") == document(finished)


def test_pictures_from_a_folder_score_like_those_that_are_drawn(finished: Path, plan: Plan, tmp_path: Path):
    evaluate(replace(plan, method=finished / "pictures"), tmp_path / "run")
    ours, theirs = document(tmp_path / "run"), document(finished)
    assert ours["scores"] == theirs["scores"]
    assert ours["drawn"] == theirs["drawn"]


def test_missing_and_misshapen_pictures_are_refused(data: Path, plan: Plan, tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with pytest.raises(ValueError, match="found none for item00000, item00001"):
        evaluate(replace(plan, method=pictures), tmp_path / "a")
    for place in range(COUNT):
        paint(place).resize((64, 32) if place == 3 else (64, 64)).save(pictures / f"item{place:05d}.png")
    with pytest.raises(ValueError, match=r"item00003\.png: expected 64 x 64, got 64 x 32"):
        evaluate(replace(plan, method=pictures), tmp_path / "b")


def test_a_folder_holds_one_run(finished: Path, plan: Plan):
    with pytest.raises(ValueError, match=r'drawing: this folder holds a run with .*"seed":0.*asked for was .*"seed":7'):
        evaluate(replace(plan, drawing=Drawing(seed=7)), finished)
    with pytest.raises(ValueError, match=r'weights: this folder holds a run with null, asked for was "abc"'):
        evaluate(replace(plan, weights="abc"), finished)
    with pytest.raises(ValueError, match="items: this folder"):
        evaluate(replace(plan, limit=2), finished)


def test_all_that_is_wrong_with_a_plan_is_told_at_once(plan: Plan, tmp_path: Path):
    wrong = replace(
        plan, judges=("nobody", "clip", "clip"), limit=0, drawing=Drawing(seed=-1, steps=0), method=tmp_path / "none"
    )
    with pytest.raises(ValueError, match="nobody") as error:
        evaluate(wrong, tmp_path / "run")
    for expected in (
        "'clip' again",
        "limit: expected at least 1",
        "seed: expected",
        "steps: expected",
        "pictures: exp",
    ):
        assert expected in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_judge_that_needs_another_says_so(plan: Plan, tmp_path: Path):
    with pytest.raises(ValueError, match=r"sorter=.* needs answers to 'segment' questions"):
        evaluate(replace(plan, judges=(Sorter(),)), tmp_path / "run")


@dataclass
class Moody(Looker):
    """Answers some pictures in its own way; which picture it is stands in the corner."""

    moods: dict[int, object] = field(default_factory=dict)

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        mood = self.moods.get(picture.getpixel((0, 0))[0]) if request.kind in ("detect", "entity") else None
        if isinstance(mood, BaseException):
            raise mood
        return super().judge(picture, request) if mood is None else mood


class NumberPainter(ShiftedPainter):
    """Writes the number of the item into the corner."""

    def _paint(self, request: GenerationRequest) -> GeneratedImage:
        drawn = super()._paint(request)
        number = int(request.layout.prompt.split()[-1])
        drawn.image.putpixel((61, 62), (number, number, number))  # the shift moves it to the corner
        return drawn


FAILING = {
    0: TimeoutError("120 s"),
    1: JudgementError("unreadable", "expected JSON", reply="a cat"),
    2: JudgeAnswer(answer=None),
    3: "what?",
    4: JudgeAnswer(answer={"cat": [[float("nan")] * 4]}),
    5: KeyError("cat"),
}
ODD = {
    0: JudgeAnswer(answer={"cat": None}),
    1: JudgeAnswer(answer={"cat": [[1, 2, 3], "box", None, [1, 2, 3, "x"]]}),
    2: JudgeAnswer(answer=[1]),
    3: JudgeAnswer(answer="text"),
    4: JudgeAnswer(answer=7),
    5: JudgeAnswer(answer={}),
}


def moody_run(moods: dict[int, object], data: Path, folder: Path) -> Result:
    judges = (Moody(moods=moods), Sorter(), Feeler())
    return evaluate(Plan(benchmark=toy_benchmark(data), method=NumberPainter(), judges=judges), folder)


def pictures_of(result: Result, column: str) -> dict[str, float]:
    score = next(score for score in result.scores if score.column.name == column)
    return dict(zip(score.keys, score.totals, strict=True))


@pytest.fixture(scope="module")
def good(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return moody_run({}, data, tmp_path_factory.mktemp("good"))


def test_a_judge_that_fails_costs_one_picture_each_time_and_is_counted(data: Path, good: Result, tmp_path: Path):
    moods = {number: mood for number, mood in FAILING.items() if number != 2}
    result = moody_run(moods, data, tmp_path / "run")
    counts = result.document["judges"][0]["questions"]["detect"]
    assert counts == {"answered": 1, "failed": {"error": 2, "timeout": 1, "unreadable": 2}, "missing": 0}
    score = next(score for score in result.scores if score.column.name == "miou")
    assert (score.num_images, score.num_failed, score.status) == (COUNT, COUNT - 1, "ok")
    kept = pictures_of(good, "miou")["item00002"]
    assert pictures_of(result, "miou") == {f"item{n:05d}": kept if n == 2 else 0.0 for n in range(COUNT)}
    assert result.value("sr_e") < good.value("sr_e")
    assert result.value("clip_g") == good.value("clip_g")


def test_an_answer_of_nothing_is_a_failure(data: Path, tmp_path: Path):
    counts = moody_run({2: FAILING[2]}, data, tmp_path / "run").document["judges"][0]["questions"]
    assert counts["detect"] == counts["entity"] == {"answered": COUNT - 1, "failed": {"unreadable": 1}, "missing": 0}
    assert counts["segment"]["answered"] == COUNT


def test_answers_of_another_form_cost_the_picture_its_points(data: Path, good: Result, tmp_path: Path):
    result = moody_run(ODD, data, tmp_path / "run")
    assert set(pictures_of(result, "miou").values()) == {0.0}
    assert {score.status for score in result.scores} <= {"ok", "empty"}
    assert pictures_of(result, "clip_g") == pictures_of(good, "clip_g")


def test_failures_are_asked_again_when_that_is_wanted(data: Path, tmp_path: Path):
    moody = Moody(moods={3: TimeoutError()})
    plan = Plan(benchmark=toy_benchmark(data), method=NumberPainter(), judges=(moody, Sorter(), Feeler()))
    evaluate(plan, tmp_path / "run")
    moody.moods.clear()
    asked = moody.asked
    assert evaluate(plan, tmp_path / "run").document["judges"][0]["questions"]["detect"]["failed"] == {"timeout": 1}
    assert moody.asked == asked
    again = evaluate(plan, tmp_path / "run", options=RunOptions(retry=True))
    assert moody.asked == asked + 2
    assert again.document["judges"][0]["questions"]["detect"] == {"answered": COUNT, "failed": {}, "missing": 0}


@dataclass
class Leaver(Looker):
    """Goes home after some answers."""

    leaves_after: int = 4

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        if self.asked >= self.leaves_after:
            raise JudgeUnavailableError("gone home")
        return super().judge(picture, request)


def test_a_judge_that_leaves_is_waited_for(data: Path, finished: Path, tmp_path: Path):
    leaver = Leaver(parallel=1)
    plan = Plan(benchmark=toy_benchmark(data), method=ShiftedPainter(), judges=(leaver, Feeler()), name="painter")
    result = evaluate(plan, tmp_path / "run")
    status = {score.column.name: score.status for score in result.scores}
    assert status["clip_g"] == "ok"
    assert status["miou"] in ("partial", "not run")
    assert result.document["judges"][0]["unavailable"] == "gone home"
    leaver.leaves_after = 10**6
    whole = evaluate(plan, tmp_path / "run")
    assert {score.status for score in whole.scores} <= {"ok", "empty", "not run"}
    assert whole.value("miou") == read_result(finished).value("miou")
    assert "unavailable" not in whole.document["judges"][0]


def test_another_judge_under_the_same_name_is_not_mixed_in(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from occlusionformer.evaluation.running import judge_specs

    judge = Looker()
    monkeypatch.setattr(judge_specs, "load_judge", lambda spec: judge)
    plan = Plan(benchmark=toy_benchmark(data), method=ShiftedPainter(), judges=("qwen",), limit=2)
    evaluate(plan, tmp_path / "run")
    lines = list(read_lines([tmp_path / "run" / "judgements-0of1.jsonl"]))
    (tmp_path / "run" / "judgements-0of1.jsonl").write_text(json.dumps(lines[0]) + "\n")
    judge.identity = {**judge.identity, "revision": "2"}
    with pytest.raises(ValueError, match="qwen: expected the judge that began this run"):
        evaluate(plan, tmp_path / "run")


def test_a_judge_that_is_not_to_be_had_is_a_row_without_a_number(data: Path, tmp_path: Path):
    plan = Plan(
        benchmark=toy_benchmark(data),
        method=ShiftedPainter(),
        judges=("server:http://127.0.0.1:9/v1", f"inception:{tmp_path}/none.pt"),
        limit=2,
    )
    result = evaluate(plan, tmp_path / "run")
    assert {score.value for score in result.scores} == {None}
    why = {entry["column"]["name"]: entry["why"] for entry in result.document["scores"]}
    assert why["miou"] == "not available: server:http://127.0.0.1:9/v1"
    assert "not run: inception: expected a TorchScript file" in (tmp_path / "run" / "table.md").read_text()


def test_workers_together_are_the_whole(data: Path, plan: Plan, finished: Path, tmp_path: Path):
    named = replace(plan, benchmark=str(data / "toy.json"))
    evaluate(named, tmp_path / "run", options=RunOptions(workers=2))
    assert document(tmp_path / "run") == document(finished)
    assert {path.name for path in (tmp_path / "run").glob("judgements-*")} == {
        "judgements-0of2.jsonl",
        "judgements-1of2.jsonl",
    }


def test_a_worker_that_fails_fails_the_run(data: Path, plan: Plan, tmp_path: Path):
    broken = replace(plan, benchmark=str(data / "toy.json"), method=Broken())
    with pytest.raises(RuntimeError, match="2 of 2 workers failed; what they did is kept"):
        evaluate(broken, tmp_path / "run", options=RunOptions(workers=2))


class Broken(ShiftedPainter):
    """Has run out of paint."""

    def generate(self, requests: Sequence[GenerationRequest], *, on_step: object = None) -> list[GeneratedImage]:
        raise RuntimeError("no paint")


def test_evaluating_loads_no_torch_of_itself():
    script = "import sys, occlusionformer.evaluation; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_workers_need_what_can_be_sent_to_them(plan: Plan, tmp_path: Path):
    class Local(ShiftedPainter):
        pass

    with pytest.raises(ValueError, match="workers: expected 1, since"):
        evaluate(replace(plan, method=Local()), tmp_path / "run", options=RunOptions(workers=2))
