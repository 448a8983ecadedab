"""Layouts of a benchmark written for programs elsewhere, and what those draw judged here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from occlusionformer.evaluation.judgement import Identity, JudgeAnswer, JudgeRequest
from occlusionformer.evaluation.running import drawing, judge_specs
from occlusionformer.layout import FORMATS, read_layout
from tests.apps.conftest import Command
from tests.apps.painter import Painter, colour_of
from tests.evaluation.benchmarks.files import write_table
from tests.evaluation.running.standins import Looker, Sorter, toy_benchmark

ROW = {
    "id": "room",
    "prompt": "a room",
    "width": 1024,
    "height": 682,
    "annos": [
        {"bbox": [0.0, 0.0, 512.0, 682.0], "category_name": "shelf", "caption": "a tall brown shelf"},
        {"bbox": [512.0, 341.0, 1024.0, 682.0], "category_name": "bed", "caption": "bed"},
    ],
}


@dataclass
class ColourJudge:
    """Finds instances by the colours of their places; every attribute is right."""

    kinds: frozenset = frozenset({"detect", "attributes_of_detected"})
    needs: frozenset = frozenset()
    parallel: int = 1
    identity: Identity = field(
        default_factory=lambda: {"name": "colours", "model": "colours", "revision": "1", "settings": {}}
    )
    crops: list[tuple[float, ...]] = field(default_factory=list)

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        if request.kind == "detect":
            found = {}
            for place, each in enumerate(request.instances):
                box = Image.fromarray((np.asarray(picture) == colour_of(place)).all(-1)).getbbox()
                found[each.category] = [list(box)] if box else []
            return JudgeAnswer(answer=found)
        self.crops += [each.box for each in request.instances]
        yes = dict.fromkeys(("color", "texture", "shape"), "yes")
        return JudgeAnswer(answer={each.name: yes for each in request.instances})


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> ColourJudge:
    found = ColourJudge()
    monkeypatch.setattr(judge_specs, "load_judge", lambda spec: found)
    monkeypatch.setattr(drawing, "load_generator", lambda spec: Painter(model=spec))
    return found


@pytest.fixture
def dense(folder: Path) -> Path:
    write_table(folder / "data" / "test-00000.parquet", [ROW])
    return folder / "data"


def test_a_canvas_of_height_682_is_drawn_and_judged(run: Command, dense: Path, judge: ColourJudge, folder: Path):
    done = run("eval", "denselayout", "--data", dense, "--judges", "qwen", "--out", "a", "--json")
    assert done.code == 0, done.err
    scores = {name: score["value"] for name, score in done.json["scores"].items()}
    expected = {"lgs_miou": 1, "lgs_color": 0.5, "lgs_texture": 0.5, "lgs_shape": 0.5}
    assert scores == pytest.approx(expected, abs=0.01)
    with Image.open(folder / "a" / "pictures" / "room.png") as picture:
        assert picture.size == (1024, 688)
    assert judge.crops == [(0, 0, 512, 688)], "the bed is described by its category alone"
    first = (folder / "a" / "result.json").read_bytes()
    assert run("eval", "replay", "a").code == 0
    assert (folder / "a" / "result.json").read_bytes() == first


def draw_elsewhere(index: Path, pictures: Path, *, height: int | None = None, ending: str = "png") -> None:
    """Another program: it knows the index and nothing of this package."""
    pictures.mkdir()
    for item in json.loads(index.read_text())["items"]:
        size = (item["width"], item["height"] if height is None else height)
        picture = Image.new("RGB", size)
        draw = ImageDraw.Draw(picture)
        for place, instance in enumerate(item["instances"]):
            x1, y1, x2, y2 = instance["box"]
            scale = size[1] / item["height"]
            draw.rectangle((x1, y1 * scale, x2 - 1, y2 * scale - 1), fill=colour_of(place))
        picture.save(pictures / f"{item['key']}.{ending}")


@pytest.mark.parametrize("height", [682, 688, 672])
def test_what_another_program_draws_from_the_index_is_judged(
    height: int, run: Command, dense: Path, judge: ColourJudge, folder: Path
):
    done = run("eval", "layouts", "denselayout", "--data", dense, "--out", "there", "--json")
    assert done.code == 0, done.err
    assert (done.json["layouts"], done.json["ordered"], done.json["lost"]) == (1, 0, [])
    (row,) = json.loads((folder / "there" / "index.json").read_text())["items"]
    assert (row["key"], row["picture"], row["drawn_size"]) == ("room", "room.png", [1024, 688])
    assert [(each["caption"], each["category"]) for each in row["instances"]] == [
        ("a tall brown shelf", "shelf"), ("bed", "bed")
    ]  # fmt: skip
    assert row["in_front_of"] is None
    draw_elsewhere(folder / "there" / "index.json", folder / "drawn", height=height)
    judged = run("eval", "denselayout", "--data", dense, "--judges", "qwen", "--pictures", "drawn", "--json")
    assert judged.code == 0, judged.err
    assert judged.json["scores"]["lgs_miou"]["value"] == pytest.approx(1, abs=0.01)


def test_pictures_of_another_size_are_refused_with_the_sizes_that_would_do(
    run: Command, dense: Path, judge: ColourJudge, folder: Path
):
    assert run("eval", "layouts", "denselayout", "--data", dense, "--out", "there").code == 0
    draw_elsewhere(folder / "there" / "index.json", folder / "drawn", height=512)
    done = run("eval", "denselayout", "--data", dense, "--pictures", "drawn", "--out", "b", "--json")
    assert (done.code, done.json["problems"]) == (
        2,
        ["drawn/room.png: expected 1024 x 682 or 1024 x 688 or 1024 x 672, got 1024 x 512"],
    )


COARSE = {"comfy": 0.5, "ideogram4": 0.05, "flux3": 0.05, "ming": 0.05, "omost": 32}
"""Pixels of a picture of 64 by which edges move in formats of whole pixels, a grid, or words."""


@pytest.mark.parametrize("name", FORMATS)
def test_layouts_are_written_in_every_format(name: str, run: Command, folder: Path):
    (folder / "toy").mkdir()
    toy_benchmark(folder / "toy", 3)
    done = run("eval", "layouts", folder / "toy" / "toy.json", "--out", "there", "--format", name, "--lossy", "--json")
    assert done.code == 0, done.out
    index = json.loads((folder / "there" / "index.json").read_text())
    assert (index["format"], index["num_items"]) == (name, 3)
    for row in index["items"]:
        told = {"prompt": "a", "width": row["width"], "height": row["height"]}
        given = {field: told[field] for field in FORMATS[name].needs}
        layout = read_layout(folder / "there" / row["layout"], name, **given)
        assert len(layout.instances) == len(row["instances"]) == 3
        for instance, told in zip(layout.instances, row["instances"], strict=True):
            edges = [e * side for e, side in zip(instance.box, (row["width"], row["height"]) * 2, strict=True)]
            assert edges == pytest.approx(told["box"], abs=COARSE.get(name, 0.01))


def test_what_a_format_cannot_hold_is_refused_and_nothing_is_written(run: Command, folder: Path):
    done = run(
        "eval", "layouts", "world-simple", "--limit", "2", "--out", "there", "--format", "overlaybench", "--json"
    )
    assert done.code == 2
    assert any("order" in problem for problem in done.json["problems"])
    assert not (folder / "there").exists()


def test_orders_that_judges_saw_in_a_run_are_written(run: Command, folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "toy").mkdir()
    toy_benchmark(folder / "toy", 2)
    toy = folder / "toy" / "toy.json"
    monkeypatch.setattr(drawing, "load_generator", lambda spec: Painter(model=spec))
    monkeypatch.setattr(judge_specs, "load_judge", lambda spec: Sorter() if "order" in spec else Looker())
    plain = run("eval", "layouts", toy, "--out", "plain", "--json")
    assert plain.json["ordered"] == 0
    assert "name the folder of a run" in plain.err
    assert run("eval", toy, "--judges", "qwen,sam2,instaorder-order:x", "--out", "run").code == 0
    ordered = run("eval", "layouts", "run", "--out", "ordered", "--json")
    assert (ordered.code, ordered.json["ordered"]) == (0, 2)
    row = json.loads((folder / "ordered" / "index.json").read_text())["items"][0]
    assert row["in_front_of"], "boxes that overlap were painted one over the other"
    assert read_layout(folder / "ordered" / row["layout"]).cycles == "allow"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--out", "full"), "out: expected a new or empty folder, got 'full'"),
        (("--out", "there", "--format", "svg"), "format: expected native, published"),
        (("--out", "there", "--limit", "0"), "limit: expected at least 1, got 0"),
        (("--out", "there", "--unreadable", "maybe"), "unreadable: expected fail or skip, got 'maybe'"),
    ],
)
def test_what_cannot_be_written_is_refused(arguments: tuple[str, ...], problem: str, run: Command, dense: Path):
    Path("full").mkdir()
    (Path("full") / "x").touch()
    done = run("eval", "layouts", "denselayout", "--data", dense, *arguments, "--json")
    assert done.code == 2
    assert any(found.startswith(problem) for found in done.json["problems"]), done.json
    assert not Path("there").exists()


def test_rows_that_cannot_be_read_are_left_out_when_that_is_wanted(
    run: Command, dense: Path, judge: ColourJudge, folder: Path
):
    bad = {**ROW, "id": "bad", "annos": [{**ROW["annos"][0], "bbox": [0.0, 0.0, 9000.0, 1.0]}]}
    write_table(dense / "test-00001.parquet", [bad])
    refused = run("eval", "denselayout", "--data", dense, "--judges", "qwen", "--out", "a", "--json")
    assert refused.code == 2
    assert refused.json["problems"] == [
        "test-00001.parquet row 0: annos[0].bbox: expected x2 from 0 to 1024, got 9000.0"
    ]
    done = run("eval", "denselayout", "--data", dense, "--judges", "qwen", "--out", "a", "--unreadable", "skip")
    assert done.code == 0, done.err
    assert "1 row could not be read: left out." in (folder / "a" / "table.md").read_text()


def test_pictures_may_go_by_the_file_names_of_the_data_set(run: Command, folder: Path, judge: ColourJudge):
    picture = Image.new("RGB", (8, 8))
    picture.save(folder / "p.png")
    row = {
        "image": {"bytes": (folder / "p.png").read_bytes(), "path": None},
        "image_id": 12,
        "file_name": "sa_17.jpg",
        "global_caption": "a cat",
        "region_captions": "['a cat']",
        "detail_region_captions": "['a fluffy grey cat']",
        "bbox_list": "[[0, 0, 4, 8]]",
        "width": 8,
        "height": 8,
    }
    write_table(folder / "sam" / "test-0.parquet", [row])
    (folder / "drawn").mkdir()
    Image.new("RGB", (1024, 1024)).save(folder / "drawn" / "sa_17.jpg")
    command = ("eval", "layoutsam-eval", "--data", folder / "sam", "--pictures", "drawn", "--json")
    assert run(*command).code == 0
    Image.new("RGB", (1024, 1024)).save(folder / "drawn" / "12.png")
    twice = run(*command, "--out", "b")
    assert twice.json["problems"] == ["drawn: expected one picture of 12, found 12.png, sa_17.jpg"]
