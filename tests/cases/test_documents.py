"""Documents and pictures with records that once crashed a command, took minutes, or were refused without a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.generation import GenerationRequest, nearest_size, read_provenance
from occlusionformer.layout import FORMATS, Layout, RunLength, read_layout
from tests.apps.conftest import Command, folder, painter, run
from tests.apps.painter import Painter
from tests.cases.replay import refusal, replay, untouched

__all__ = ["folder", "painter", "run"]

DATA = Path(__file__).parent / "data"
MEGABYTE = 10**6
CAT = '{"id": "a", "caption": "a cat", "box": [0, 0, 1, 1]}'


def refused(run: Command, where: Path, *arguments: object) -> list[str]:
    with untouched(where):
        result = run(*arguments)
    assert (result.code, result.out) == (2, ""), result.err
    return result.err.splitlines()


# Numbers of numpy


def test_numbers_of_numpy():
    layout = Layout(prompt="a", width=np.int64(128), height=np.uint16(64), seed=np.int32(3))
    assert layout == Layout(prompt="a", width=128, height=64, seed=3)
    region = RunLength(size=np.array([2, 2]), counts=list(np.array([1, 3])))
    assert region == RunLength(size=(2, 2), counts=[1, 3])
    assert RunLength(size=(2, 2), counts=b"13").run_lengths() == (1, 3)
    request = GenerationRequest(layout=layout, seed=np.int64(5), strength=np.float32(0.5), steps=np.int64(2))
    assert (request.seed, request.strength, request.steps) == (5, 0.5, 2)


# Canvases that are no multiples of a token


@pytest.mark.slow
def test_a_canvas_of_1500_by_1000_is_refused_with_what_would_do(folder: Path):
    shutil.copy(DATA / "odd-canvas" / "ia.json", folder)
    shutil.copy(DATA / "published-variants" / "pub-occl-int.json", folder / "even.json")
    command = ("generate", "--format", "published", "--steps", "1")
    harmless = ("generate", "--format", "native", "--steps", "1", EXAMPLE)
    assert refusal(*command, "ia.json", folder=folder, harmless=harmless).splitlines() == [
        "width: expected a multiple of 16, got 1500; the nearest is 1504",
        "height: expected a multiple of 16, got 1000; the nearest is 1008",
        "size: --size 1504x1008 draws the whole layout in the nearest size, as does --size nearest",
    ]


EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "two-fruits.json"


def test_it_is_drawn_in_the_nearest_size(run: Command, painter: Painter, folder: Path):
    painter.side_multiple = 16
    source = DATA / "odd-canvas" / "ia.json"
    assert run("generate", source, "--format", "published", "--size", "nearest").code == 0
    assert Image.open("out.png").size == nearest_size(1500, 1000) == (1504, 1008)
    assert [read_provenance("out.png")[name] for name in ("width", "height")] == [1504, 1008]
    assert run("orders", source, "--format", "published", "-o", "sheet.png", "--size", "nearest").code == 0


# Pictures that are foreign, cut or saved again by other programs


def test_pictures_without_a_record(run: Command, painter: Painter, folder: Path):
    for path in (DATA / "png-foreign").iterdir():
        shutil.copy(path, folder)
    Image.new("RGB", (8, 8)).save("a.jpg")
    expected = {
        "comfy-big.png": "expected a PNG with a text chunk 'occlusionformer', found none",
        "trunc.png": "expected a whole PNG, got one that is cut off in chunk tEXt at byte 33",
        "a.jpg": "expected a document in UTF-8, got a JPEG picture",
    }
    for name, problem in expected.items():
        for command in (("generate", name, "-o", "g.png"), ("validate", name), ("convert", name, "out.json")):
            assert refused(run, folder, *command) == [f"{name}: {problem}"]


def test_a_foreign_picture_costs_nothing(folder: Path):
    for path in (DATA / "png-foreign").iterdir():
        shutil.copy(path, folder)
    assert "comfy-big.png: expected a PNG with a text chunk" in refusal("generate", "comfy-big.png", folder=folder)


@pytest.mark.parametrize("name", ["f.png", "after.png", "im.png"])
def test_a_record_behind_the_pixels(name: str, run: Command, painter: Painter, folder: Path):
    path = DATA / "png-record-after-idat" / name
    record = read_provenance(path)
    result = run("generate", path, "--json")
    assert result.code == 0
    again = result.json["provenance"]
    assert [again[field] for field in ("seed", "width", "layout")] == [
        record[field] for field in ("seed", "width", "layout")
    ]
    assert run("validate", path).code == 0


# What the released script reads


def test_what_the_released_script_reads(run: Command, folder: Path):
    for name in ("empty-caption", "occl-int", "prompt-caption-differ"):
        shutil.copy(DATA / "published-variants" / f"pub-{name}.json", folder / f"{name}.json")
    results = {path.stem: run("validate", path, "--format", "published") for path in folder.iterdir()}
    assert {name: result.code for name, result in results.items()} == dict.fromkeys(results, 0)
    assert results["prompt-caption-differ"].err == (
        "warning: caption: left unread, because prompt says something else: 'a table'\n"
    )
    assert read_layout(folder / "empty-caption.json", "published").instances[0].caption == "cat"
    layout = read_layout(folder / "occl-int.json", "published")
    assert layout.zorder is not None
    assert layout.zorder.edges == {(0, 1)}


# Documents that cost

COSTLY: dict[str, Callable[[], str]] = {
    "nan.json": lambda: '{"instances": [' + ", ".join(["NaN"] * (MEGABYTE // 5)) + "]}",
    "objects.json": lambda: '{"instances": [' + ",".join(["{}"] * (MEGABYTE // 3)) + "]}",
    "digits.json": lambda: '{"seed": ' + "9" * MEGABYTE + "}",
    "deep.json": lambda: "[" * MEGABYTE,
    "surrogates.json": lambda: '{"instances": [' + ",".join(['"\\ud800"'] * (MEGABYTE // 9)) + "]}",
    "twice.json": lambda: "{" + ",".join(['"a":1'] * (MEGABYTE // 6)) + "}",
    "backslashes.json": lambda: '{"prompt": "' + "\\\\" * 30_000_000 + '"}',
    "same.json": lambda: '{"prompt": "a", "width": 8, "height": 8, "instances": [' + ",".join([CAT] * 18_000) + "]}",
}
TOLD = {
    "nan.json": "expected an object, got nan",
    "objects.json": "instances[0].id: expected a value, got nothing",
    "digits.json": "seed: expected numbers of at most 20 digits, got one of 1000000",
    "deep.json": "expected at most 64 levels of objects and lists inside each other, got more",
    "surrogates.json": "instances[0]: expected an object, got '\\ud800'",
    "twice.json": "expected every field once, got 'a' again",
    "backslashes.json": "expected a document of at most 32 MB, got a larger one",
    "same.json": "instances[1].id: expected an id of its own, got 'a' again",
}


def test_documents_made_to_cost_are_refused_together_in_time(folder: Path):
    for name, make in COSTLY.items():
        (folder / name).write_text(make())
    lines = refusal("validate", *COSTLY, folder=folder, seconds=2.0 * len(COSTLY)).splitlines()
    for name, problem in TOLD.items():
        told = [line for line in lines if line.startswith(f"{name}: ")]
        assert any(problem in line for line in told), f"{name}: {told[:3]}"
        assert len(told) <= 102


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nan.json", "backslashes.json"])
def test_the_worst_of_them_alone(name: str, folder: Path):
    (folder / name).write_text(COSTLY[name]())
    assert TOLD[name] in refusal("generate", name, folder=folder)


def test_literals_made_to_cost(folder: Path):
    (folder / "nested.txt").write_text("f'{" * 100_000 + "1" + "}'" * 100_000)
    (folder / "hexadecimal.txt").write_text(f"{{'caption': 0x{'f' * 3572}}}")
    (folder / "tuples.txt").write_text("(" * MEGABYTE)
    (folder / "empty.txt").write_text("[" + "{}," * (MEGABYTE // 3) + "]")
    names = ("nested.txt", "hexadecimal.txt", "tuples.txt", "empty.txt")
    told = refusal("validate", *names, "--format", "overlaybench", folder=folder, seconds=8).splitlines()
    assert told[:3] == [
        "nested.txt: line 1, column 1: not a Python literal: expected only text, numbers, lists and dicts",
        "hexadecimal.txt: caption: expected numbers of at most 20 digits, got one of 3574",
        "tuples.txt: expected at most 64 levels of objects and lists inside each other, got more",
    ]


def ring(count: int) -> dict[str, object]:
    places = [(k % 100 / 102, k // 100 / 52) for k in range(count)]
    boxes = [[x, y, x + 0.015, y + 0.03] for x, y in places]
    instances = [{"id": str(k), "caption": "a", "box": box} for k, box in enumerate(boxes)]
    pairs = [{"front": str(k), "behind": str((k + 1) % count)} for k in range(count)]
    fields = {"order": {"pairs": pairs}, "closure": True, "cycles": "break"}
    return {"prompt": "a", "width": 64, "height": 64, "instances": instances, **fields}


def test_a_closed_ring_of_five_thousand(run: Command, folder: Path):
    (folder / "ring.json").write_text(json.dumps(ring(5000)))
    assert refused(run, folder, "convert", "ring.json", "out.json", "--to", "simpletuner") == [
        "instances: expected at most 1000 (--max-instances), got 5000"
    ]
    arguments = ("convert", "ring.json", "out.json", "--to", "simpletuner", "--lossy", "--max-instances", "5000")
    done = replay(*arguments, folder=folder)
    assert done.code == 0, done.stderr
    assert done.seconds_beyond < 10
    assert len(json.loads((folder / "out.json").read_text())["boxes"]) == 5000


def test_every_format_refuses_another_kind_of_file(run: Command, folder: Path):
    Image.new("RGB", (8, 8)).save("a.jpg")
    for form in FORMATS:
        assert refused(run, folder, "validate", "a.jpg", "--format", form) == [
            "a.jpg: expected a document in UTF-8, got a JPEG picture"
        ]
