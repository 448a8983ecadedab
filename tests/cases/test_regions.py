"""Regions, masks and annotation files that once crashed a command, filled the memory or came out wrong unsaid."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from occlusionformer.data.records import RecordFolder, decode_masks
from occlusionformer.layout import rle
from tests.apps.conftest import Command, run
from tests.cases.commands import LARGEST, converted, refused, work
from tests.cases.replay import replay
from tests.clock import seconds_of
from tests.tables import for_each

__all__ = ["run", "work"]

DATA = Path(__file__).parent / "data"

APPLE = {"id": "1", "caption": "a red apple", "box": [0.1, 0.1, 0.6, 0.6]}
PLAIN = {"prompt": "a table", "width": 128, "height": 128, "seed": 1, "instances": [APPLE]}


def with_region(region: dict[str, Any]) -> dict[str, Any]:
    return {**PLAIN, "instances": [{**APPLE, "region": region}]}


# Regions of layouts


@pytest.mark.slow
def test_the_largest_region_is_drawn_at_no_cost(tmp_path: Path):
    """It covers what it covers: all of the box, as without it."""
    (tmp_path / "plain.json").write_text(json.dumps(PLAIN))
    (tmp_path / "region.json").write_text(json.dumps(with_region(LARGEST), separators=(",", ":")))
    harmless = ("generate", tmp_path / "plain.json", "-o", "plain.png")
    plain = replay("generate", "plain.json", "-o", "plain.png", folder=tmp_path, harmless=harmless)
    reply = replay("generate", "region.json", "-o", "region.png", folder=tmp_path, harmless=harmless)
    assert (plain.code, reply.code) == (0, 0), reply.stderr
    assert reply.seconds_beyond < 1
    assert reply.memory_beyond < 50 * 2**20
    assert pixels(tmp_path / "region.png") == pixels(tmp_path / "plain.png")


def pixels(path: Path) -> bytes:
    from occlusionformer.pictures import find_picture, read_picture

    assert find_picture(path.parent, path.name) == path
    return read_picture(path).pixels().tobytes()


@contextmanager
def studio() -> Iterator[tuple[int, httpx.Client]]:
    """A studio in a process of its own."""
    command = [sys.executable, "-m", "occlusionformer.apps.cli", "studio", "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+:\d+", process.stderr.readline())
            assert found
            with httpx.Client(base_url=found[0], timeout=60) as client:
                yield process.pid, client
        finally:
            process.kill()


def peak_of(pid: int) -> int:
    """Bytes resident at most so far."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux tells it")
def test_the_largest_region_is_drawn_at_no_cost_by_the_studio():
    pytest.importorskip("gradio", reason="the studio is an extra of its own")
    with studio() as (pid, client):
        draw(client, PLAIN)
        peak, started = peak_of(pid), seconds_of(pid)
        draw(client, PLAIN)
        plain = seconds_of(pid) - started
        draw(client, with_region(LARGEST))
        assert seconds_of(pid) - started - 2 * plain < 1
        assert peak_of(pid) - peak < 50 * 2**20


def draw(client: httpx.Client, layout: dict[str, Any]) -> None:
    started = client.post("/api/generate", json={"layout": layout})
    assert started.status_code == 202, started.text
    with client.stream("GET", f"/api/jobs/{started.json()['job']}/events") as stream:
        stream.read()
    assert client.get(f"/api/jobs/{started.json()['job']}").json()["status"] == "done"


def checkerboard() -> dict[str, Any]:
    """As many runs as a megabyte of text holds."""
    side = 1000
    counts = [1] * (side * side)
    return {"size": [side, side], "counts": rle.compress(counts)}


def spikes() -> dict[str, Any]:
    """As many corners as a megabyte of text holds; every edge reaches from top to bottom."""
    points = [[round(place / 60_000, 5), place % 2] for place in range(60_000)]
    return {"points": [*points, [1, 1], [1, 0.5]]}


@pytest.mark.slow
@pytest.mark.parametrize("region", [checkerboard(), spikes()], ids=["runs", "corners"])
def test_regions_of_a_megabyte_cost_their_size(tmp_path: Path, region: dict[str, Any]):
    document = with_region(region)
    document["instances"][0]["box"] = [0, 0, 1, 1]
    (tmp_path / "region.json").write_text(json.dumps(document))
    (tmp_path / "plain.json").write_text(json.dumps(PLAIN))
    for harmless, command in (
        (("generate", tmp_path / "plain.json", "-o", "plain.png"), ("generate", "region.json", "-o", "region.png")),
        (("validate", tmp_path / "plain.json"), ("validate", "region.json")),
        (("convert", tmp_path / "plain.json", "x.json"), ("convert", "region.json", "out.json")),
    ):
        reply = replay(*command, folder=tmp_path, harmless=harmless)
        assert reply.code == 0, reply.stderr
        assert reply.seconds_beyond < 2, command
        assert reply.memory_beyond < 300 * 2**20, command


@for_each(
    ("region", "message"),
    [
        (
            {"size": [4, 4], "counts": [1, 2**63]},
            "counts: expected runs that add up to 4 x 4 = 16, got 92233720368547",
        ),
        ({"size": [0, 4], "counts": [0, 16]}, "size[0]: expected at least 1, got 0"),
        (
            {"size": [4, 4], "counts": "b'04'"},
            "counts: expected a COCO compressed string: it is how Python shows bytes",
        ),
        ({"size": [4, 4], "counts": [16]}, "counts: expected at least one set pixel, got none"),
        ({"size": [4, 4], "counts": [True, 15]}, "counts: expected whole numbers, got true"),
        ({"points": [[0, 0], [1, 1]]}, "points: expected at least 3 points, got 2"),
        ({"points": [[0, 0], [1e308, 1], [0, 1]]}, "points[1][0]: expected at most 1, got 1e+308"),
        ({"points": [[0, 0], [True, 1], [0, 1]]}, "points[1][0]: expected a number, got true"),
        ({"points": [[0.9, 0.9], [1, 0.9], [1, 1]]}, ": expected a region that overlaps the box, got one inside"),
    ],
    ids=str,
)
def test_regions_that_are_none_are_refused(run: Command, work: Path, region: dict[str, Any], message: str):
    Path("in.json").write_text(json.dumps(with_region(region)))
    (line,) = refused(run, work, "generate", "in.json", "-o", "out.png")
    assert line.startswith(f"instances[0].region{'' if message.startswith(':') else '.'}{message}")


# Files that were converted and then found invalid


@for_each("kind", ["kins", "coco-amodal"])
@for_each(
    ("name", "message"),
    [
        (
            "converted-but-invalid/bx-neg.json",
            "record 1: annotations[0].bbox: expected a width and a height above 0, got [34, 34, -30, -30]",
        ),
        (
            "converted-but-invalid/kins-dupid.json",
            "record 1: annotations[1].id: expected an id of its own, got 1",
        ),
        (
            "converted-but-invalid/kins-empty-inmodal.json",
            "record '1': instances[1].visible_box: expected the box of its mask, [4.0, 4.0, 60.0, 40.0], to 2 pixels, "
            "got [4.0, 4.0, 24.0, 34.0]",
        ),
        (
            "converted-but-invalid/rl-badsum.json",
            "record 1: annotations[0].segmentation.counts: expected runs that add up to 48 x 64 = 3072, got 60",
        ),
        (
            "degenerate-ring/kins-mixed-rings.json",
            "record 1: annotations[0].segmentation[1]: expected at least three corners x, y, got 2 numbers [5, 5]",
        ),
        (
            "rle-wrong-message/kins-bytes.json",
            "record 1: annotations[0].inmodal_seg.counts: expected a COCO compressed string: it is how Python shows "
            "bytes, with b and quotation marks around the string, got "
            "\"b'T6n0b00000000000000000000000000000000000000lk1'\"",
        ),
        (
            "orphan-annotations/case.json",
            "record 77: annotations[1].image_id: expected the id of an image of this file, got 77",
        ),
    ],
)
def test_the_reason_is_the_true_one(run: Command, work: Path, kind: str, name: str, message: str):
    source = DATA / name
    lines = refused(run, work, "data", "convert", source, "set", "--from", kind)
    assert lines[0] == f"{source.name}: {message}"


@pytest.mark.parametrize(
    ("name", "repairs"),
    [
        (
            "converted-but-invalid/kins-dupid.json",
            ["record 1: annotations[1]: instance left out: annotations[1].id: expected an id of its own, got 1"],
        ),
        (
            "converted-but-invalid/kins-empty-inmodal.json",
            [
                f"record '1': instances[1].{kind}_box: became [4.0, 4.0, 60.0, 40.0]: expected the box of its mask, "
                f"[4.0, 4.0, 60.0, 40.0], to 2 pixels, got [4.0, 4.0, {right}, 34.0]"
                for kind, right in (("visible", 24.0), ("amodal", 34.0))
            ],
        ),
        (
            "degenerate-ring/kins-mixed-rings.json",
            [
                "record 1: annotations[0].segmentation[1]: left out: expected at least three corners x, y, got 2 "
                "numbers [5, 5]"
            ],
        ),
        (
            "rle-wrong-message/kins-bytes.json",
            [
                "record 1: annotations[0].inmodal_seg.counts: read as the bytes it shows: "
                "\"b'T6n0b00000000000000000000000000000000000000lk1'\""
            ],
        ),
        (
            "orphan-annotations/case.json",
            [
                "record 77: annotations[1].image_id: annotation left out: expected the id of an image of this file, "
                "got 77"
            ],
        ),
    ],
)
def test_every_repair_is_listed(run: Command, work: Path, name: str, repairs: list[str]):
    source = DATA / name
    expected = [f"{source.name}: {line}" for line in repairs]
    assert converted(run, source, "kins", "--repair") == [
        "set (1 records)",
        *(f"repaired: {line}" for line in expected),
    ]
    assert [json.loads(line)["repair"] for line in Path("set/repaired.jsonl").read_text().splitlines()] == expected
    done = run("data", "convert", source, "again", "--from", "kins", "--repair", "--json")
    assert done.json == {"output": "again", "records": 1, "shards": 1, "rejected": 0, "repairs": expected}


def test_annotations_without_an_image_are_listed_when_bad_ones_are_skipped(run: Command, work: Path):
    source = DATA / "orphan-annotations" / "case.json"
    assert converted(run, source, "kins", "--skip-bad") == [
        "set (1 records)",
        "1 records passed over, see set/rejected.jsonl",
    ]
    assert json.loads(Path("set/rejected.jsonl").read_text()) == {
        "problems": ["case.json: record 77: annotations[1].image_id: expected the id of an image of this file, got 77"]
    }


def test_what_no_repair_saves_is_still_refused(run: Command, work: Path):
    """A picture would be left without an instance."""
    source = DATA / "converted-but-invalid" / "bx-neg.json"
    assert refused(run, work, "data", "convert", source, "set", "--from", "kins", "--repair") == [
        "bx-neg.json: record 1: annotations[0].bbox: expected a width and a height above 0, got [34, 34, -30, -30]"
    ]


def test_all_bad_pictures_are_told_at_once(run: Command, work: Path):
    document = json.loads((DATA / "converted-but-invalid" / "bx-neg.json").read_text())
    row = document["annotations"][0]
    document["images"] = [{**document["images"][0], "id": place} for place in range(300)]
    document["annotations"] = [{**row, "id": place, "image_id": place} for place in range(300)]
    Path("in.json").write_text(json.dumps(document))
    lines = refused(run, work, "data", "convert", "in.json", "set", "--from", "kins")
    assert len(lines) == 100
    assert lines[99].startswith("in.json: record 99: annotations[99].bbox: expected a width and a height above 0")


def test_a_hidden_instance_is_kept_from_the_file_to_the_page(run: Command, work: Path):
    document = json.loads((DATA / "converted-but-invalid" / "kins-empty-inmodal.json").read_text())
    document["annotations"][1].update(bbox=[4, 4, 56, 36], inmodal_bbox=[4, 4, 56, 36])
    Path("in.json").write_text(json.dumps(document))
    assert converted(run, "in.json", "kins") == ["set (1 records)"]
    [record] = RecordFolder("set")
    hidden, seen = record.instances
    assert (hidden.visible_box, hidden.amodal_box) == (None, (4.0, 4.0, 34.0, 34.0))
    assert seen.visible_box == (4.0, 4.0, 60.0, 40.0)
    assert record.order == ((0, 0), (1, 0))
    [counted] = run("data", "stats", "set", "--json").json["splits"].values()
    assert (counted["hidden_instances"], counted["with_visible_mask"], counted["with_amodal_mask"]) == (1, 2, 2)
    assert run("data", "show", "set", "-o", "page.html").code == 0
    assert "<td>hidden</td>" in Path("page.html").read_text()
    assert run("data", "split", "set", "parts", "--share", "train=1").code == 0
    assert run("data", "validate", "parts").code == 0
    assert np.count_nonzero(decode_masks([hidden.visible_mask])) == 0
    done = run("data", "convert", "set", "back.json", "--to", "sa-z")
    assert (done.code, done.err.splitlines()[0]) == (2, "1: instances[0].category: SA-Z cannot hold it")
    assert "1: instances[0].visible_box: SA-Z cannot be without it" in done.err


# Documents of the layout format


def test_a_real_coco_file_is_drawn_with_all_its_polygons(run: Command, work: Path):
    source = DATA / "coco-real-file" / "coco-seg-multi.json"
    for command in ("validate", "generate"):
        done = run(command, source, "--format", "coco", *(["-o", "out.png"] if command == "generate" else []))
        assert done.code == 0, done.err
    assert run("convert", source, "native.json", "--from", "coco").code == 0
    region = json.loads(Path("native.json").read_text())["instances"][0]["region"]
    assert region["size"] == [96, 128]
    assert run("convert", source, "boxes.json", "--from", "coco", "--no-regions").code == 0
    assert "region" not in Path("boxes.json").read_text()


def test_one_of_several_images_is_chosen(run: Command, work: Path):
    document = json.loads((DATA / "coco-real-file" / "coco-seg-multi.json").read_text())
    document["images"].append({"id": "two", "width": 64, "height": 64, "file_name": "val/b.jpg", "caption": "a dish"})
    Path("in.json").write_text(json.dumps(document))
    assert refused(run, work, "generate", "in.json", "--format", "coco", "-o", "out.png") == [
        "--image: expected one of the 2 images of in.json, 1 (a.jpg), two (val/b.jpg), got nothing"
    ]
    for asked, size in (("1", "128 x 96"), ("b.jpg", "64 x 64"), ("two", "64 x 64")):
        done = run("validate", "in.json", "--format", "coco", "--image", asked)
        assert (done.code, done.out.partition("(")[2].partition(",")[0]) == (0, size)
    assert refused(run, work, "validate", "in.json", "--format", "coco", "--image", "c.jpg") == [
        "in.json: image: expected one of 1 (a.jpg), two (val/b.jpg), got 'c.jpg'"
    ]
    assert refused(run, work, "validate", "in.json", "--image", "1") == [
        "in.json: image: not an option of the native format"
    ]
