"""Data sets from plans: whole whatever happens on the way, and broken pictures told apart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from occlusionformer.data.engine.building import Build, build, data_set_hash
from occlusionformer.data.engine.local import LocalExecutor
from occlusionformer.data.engine.plan import BuildPlan, parse_plan
from occlusionformer.data.engine.shards import BrokenPicturesError
from occlusionformer.data.records import RecordFolder, check_folder
from occlusionformer.layout import LayoutError
from tests.data.engine.pictures import rectangle, write_picture

LIGHT = {
    "name": "train",
    "source": {"kind": "scenes", "seed": 8, "count": 14, "size": 32},
    "stages": [{"stage": "clean", "min_side": 0.05}, {"stage": "filter", "min_instances": 1}],
    "shard_size": 3,
}


def light(**changes: Any) -> BuildPlan:
    return parse_plan({**LIGHT, **changes})


def built(plan: BuildPlan, out: Path, *, base: Path = Path()) -> Build:
    return build(plan, base=base, out=out, executor=LocalExecutor())


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_every_picture_is_in_the_data_set_or_in_a_dead_letter(tmp_path: Path):
    done = built(light(stages=[{"stage": "filter", "min_instances": 4}]), tmp_path)
    letters = [
        json.loads(line)
        for path in (tmp_path / "engine" / "dead").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    names = [record.image_id for record in RecordFolder(tmp_path)] + [letter["image_id"] for letter in letters]
    assert sorted(names) == sorted(f"scene-8-{index}" for index in range(14))
    assert {letter["kind"] for letter in letters} == {"filtered"}
    assert done.manifest["totals"]["records"] + done.manifest["totals"]["filtered"] == 14
    assert done.manifest["data_set"] == data_set_hash(tmp_path)
    assert list(check_folder(tmp_path, require=["visible", "images"])) == []


def test_a_rerun_does_nothing_and_a_second_folder_is_the_same(tmp_path: Path):
    first = built(light(), tmp_path / "a")
    before = files(tmp_path / "a")
    again = built(light(), tmp_path / "a")
    assert (first.skipped, again.skipped, again.pace.done) == (0, 5, 0)
    assert files(tmp_path / "a") == before
    built(light(), tmp_path / "b")
    assert files(tmp_path / "b") == before


@pytest.mark.parametrize(
    "name", ["data/train-00001.parquet", "data/train-00001.tar", "engine/receipts/train-00001.json"]
)
def test_a_rerun_makes_what_is_missing_and_nothing_else(tmp_path: Path, name: str):
    built(light(), tmp_path)
    before = files(tmp_path)
    kept = tmp_path / "data" / "train-00002.parquet"
    written = kept.stat().st_mtime_ns
    (tmp_path / name).unlink()
    (tmp_path / "data" / ".train-00001.tar.0123.tmp").write_text("half")
    again = built(light(), tmp_path)
    assert again.skipped == 4
    assert again.pace.done == 3
    assert kept.stat().st_mtime_ns == written
    assert files(tmp_path) == before


def test_a_shard_whose_pictures_changed_is_made_anew(tmp_path: Path):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    plan = light(source={"kind": "folder", "images": "pictures", "dataset": "d"}, shard_size=2)
    for name in "abcde":
        write_picture(pictures, name, [rectangle(1, 1, 9, 9), rectangle(9, 1, 20, 9)])
    built(plan, out, base=tmp_path)
    write_picture(pictures, "c", [rectangle(1, 1, 9, 12), rectangle(9, 1, 20, 9)])
    (pictures / "e.json").unlink()
    again = built(plan, out, base=tmp_path)
    assert (again.skipped, again.pace.done) == (1, 2)
    assert [record.image_id for record in RecordFolder(out)] == ["a", "b", "c", "d"]
    assert not (out / "data" / "train-00002.parquet").exists()


def test_a_folder_of_another_plan_is_refused(tmp_path: Path):
    built(light(), tmp_path)
    with pytest.raises(LayoutError, match=r"^out: expected a new folder .*, made by another plan$"):
        built(light(shard_size=4), tmp_path)
    assert len(RecordFolder(tmp_path)) == 14


@pytest.mark.skipif(os.name != "posix", reason="locks files as POSIX systems do")
def test_two_runs_do_not_share_a_folder(tmp_path: Path):
    class Nosy(LocalExecutor):
        def run(self, job: Any, numbers: Any) -> Any:
            with pytest.raises(LayoutError, match="another run is at work"):
                built(light(), tmp_path)
            return super().run(job, numbers)

    build(light(), base=Path(), out=tmp_path, executor=Nosy())


def test_poisoned_pictures_end_as_dead_letters_and_are_counted(tmp_path: Path):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    both = [rectangle(1, 1, 9, 9), rectangle(9, 1, 20, 9)]
    for name in ("cut", "empty", "good", "gone", "nan", "not-json", "size", "text", "wide"):
        write_picture(pictures, name, both)

    def note(name: str) -> dict[str, Any]:
        return json.loads((pictures / f"{name}.json").read_text())

    def rewrite(name: str, value: Any) -> None:
        (pictures / f"{name}.json").write_text(json.dumps(value))

    (pictures / "cut.png").write_bytes((pictures / "cut.png").read_bytes()[:50])
    (pictures / "text.png").write_text("not a picture")
    (pictures / "gone.png").unlink()
    (pictures / "not-json.json").write_text("{")
    rewrite("nan", {**note("nan"), "annotations": [{**note("nan")["annotations"][0], "bbox": [0, float("nan"), 1, 1]}]})
    empty = note("empty")
    empty["annotations"][1]["segmentation"]["counts"] = [32 * 32]
    rewrite("empty", empty)
    size = note("size")
    size["annotations"][0]["segmentation"]["size"] = [32, 31]
    rewrite("size", size)
    wide = note("wide")
    wide["annotations"][0]["segmentation"]["counts"] = [10, 20]
    rewrite("wide", wide)
    plan = light(source={"kind": "folder", "images": "pictures", "dataset": "d"}, shard_size=9, max_broken=1)
    done = built(plan, out, base=tmp_path)
    letters = [json.loads(line) for line in (out / "engine" / "dead" / "train-00000.jsonl").read_text().splitlines()]
    reasons = {letter["image_id"]: letter["reason"] for letter in letters}
    expected = {
        "cut": "PictureError: cut.png: expected a whole PNG file: ",
        "empty": "annotations[1]: expected a mask with set pixels, got an empty one",
        "gone": "image: expected gone with an ending out of",
        "nan": "nan.json: annotations[0].bbox[1]: expected a finite number, got nan",
        "not-json": "not-json.json: line 1, column 2: not JSON",
        "size": "annotations[0]: expected a run-length segmentation of size [32, 32]",
        "text": "PictureError: text.png: expected a PNG, JPEG, WebP, GIF, BMP or TIFF file, got one that starts with",
        "wide": "annotations[0]: expected runs that add up to 32 x 32 = 1024, got 30",
    }
    assert set(reasons) == set(expected)
    for name, text in expected.items():
        assert text in reasons[name]
    assert {letter["kind"] for letter in letters} == {"broken"}
    assert Counter(done.manifest["totals"])["broken"] == done.pace.broken == 8
    assert [record.image_id for record in RecordFolder(out)] == ["good"]


def test_a_run_stops_when_too_much_is_broken(tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abcd":
        write_picture(pictures, name, [rectangle(1, 1, 9, 9)])
        (pictures / f"{name}.png").write_bytes(b"")
    plan = light(source={"kind": "folder", "images": "pictures", "dataset": "d"}, shard_size=4)
    with pytest.raises(BrokenPicturesError) as caught:
        built(plan, tmp_path / "out", base=tmp_path)
    assert caught.value.problems == [
        "shard 0: 4 of 4 pictures are broken, more than max_broken allows",
        *(f"{name}: load: PictureError: {name}.png: expected a picture, got an empty file" for name in "abcd"),
    ]
    assert not (tmp_path / "out").exists()


def test_a_shard_of_broken_pictures_alone_has_no_records(tmp_path: Path):
    done = built(light(stages=[{"stage": "filter", "min_instances": 50}]), tmp_path)
    assert done.manifest["totals"] == {"filtered": 14, "pictures": 14}
    assert len(RecordFolder(tmp_path)) == 0
    assert list(check_folder(tmp_path)) == []


RUN = """
import json, sys
from pathlib import Path
from occlusionformer.data.engine.building import build
from occlusionformer.data.engine.local import LocalExecutor
from occlusionformer.data.engine.plan import parse_plan
build(parse_plan(json.loads(sys.argv[1])), base=Path(), out=Path(sys.argv[2]), executor=LocalExecutor())
"""


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX systems do")
@pytest.mark.slow
def test_killed_runs_add_up_to_the_same_data_set(tmp_path: Path):
    settings = {**LIGHT, "source": {**LIGHT["source"], "count": 60, "size": 128}, "shard_size": 5}
    whole = built(parse_plan(settings), tmp_path / "whole").manifest["data_set"]
    out, rng = tmp_path / "killed", np.random.default_rng(0)
    receipts = out / "engine" / "receipts"
    for kill in range(3):
        process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(settings), str(out)])
        while process.poll() is None and len(list(receipts.glob("*.json"))) < 3 * kill + 1:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    last = built(parse_plan(settings), out)
    assert 0 < last.skipped < 12
    assert last.manifest["data_set"] == whole == data_set_hash(out)
