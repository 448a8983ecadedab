"""Where commands take layouts from: documents, packed ones, pipes, pictures; and what terminals are shown of them."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from occlusionformer.apps.cli.console import json_text, printable
from tests.apps.conftest import Command
from tests.apps.examples import TWO_FRUITS
from tests.apps.painter import Painter
from tests.generation.png_cases import international, packed, plain, png

DOCUMENT = TWO_FRUITS.read_bytes()
HOSTILE = "a\x1b[31m\x1b]0;title\x07cat\x9b2J\u202e\n\r"
SHOWN = "a\\x1b[31m\\x1b]0;title\\x07cat\\x9b2J\\u202e\\n\\r"


def record(**layout: object) -> str:
    document = {**json.loads(TWO_FRUITS.read_text()), **layout}
    versions = dict.fromkeys(("occlusionformer", "torch", "diffusers", "transformers"), "1")
    return json.dumps(
        {"format": 1, "model": "embedded", "versions": versions, "layout": document, "prompt": "x", "seed": 5,
         "width": 64, "height": 64, "steps": 4, "guidance": 1, "grounding_ratio": 1, "strength": 1, "device": "cpu",
         "dtype": "float32"}
    )  # fmt: skip


@pytest.mark.parametrize("made", [plain, packed, international], ids=lambda made: made.__name__)
def test_a_record_is_drawn_again_wherever_it_is(made, run: Command, painter: Painter, folder: Path):
    for name, content in (("before.png", png(made(record()))), ("behind.png", png(after=made(record())))):
        (folder / name).write_bytes(content)
        result = run("generate", name, "-o", "again.png", "--json")
        assert result.code == 0, result.out
        assert result.json["provenance"]["seed"] == 5


@pytest.mark.parametrize("content", [TWO_FRUITS.read_bytes(), gzip.compress(DOCUMENT), png(plain(record()))])
def test_pipes(content: bytes, run: Command, painter: Painter, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert run("generate", "-", "-o", "drawn.png").code == 0
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(content,))
    writer.start()
    result = run("validate", "pipe")
    writer.join()
    assert result.code == 0
    assert result.out.startswith("pipe: ok (")


def test_a_packed_document(run: Command, folder: Path):
    (folder / "layout.json.gz").write_bytes(gzip.compress(DOCUMENT))
    assert run("validate", "layout.json.gz").code == 0
    (folder / "cut.gz").write_bytes(gzip.compress(DOCUMENT)[:-20])
    (folder / "bomb.gz").write_bytes(gzip.compress(bytes(2**26)))
    assert run("validate", "cut.gz", "bomb.gz").err.splitlines() == [
        "cut.gz: expected a document packed by gzip, got one that is cut off",
        "bomb.gz: expected a document of at most 32 MB, unpacked, got a larger one",
    ]


def test_files_that_hold_no_layout_are_named(run: Command, painter: Painter, folder: Path):
    Image.new("RGB", (8, 8)).save("a.jpg")
    (folder / "utf16.json").write_bytes('{"prompt": "a"}'.encode("utf-16"))
    (folder / "latin.json").write_bytes('{"prompt": "é"}'.encode("latin-1"))
    (folder / "cut.png").write_bytes(png(plain())[:-20])
    (folder / "two.png").write_bytes(png(plain(record()), plain(record(seed=9))))
    (folder / "wrong.png").write_bytes(png(plain(record(width=0))))
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "broken.json").write_text('{"prompt": ')
    expected = {
        "a.jpg": "expected a document in UTF-8, got a JPEG picture",
        "utf16.json": "expected a document in UTF-8, got text in UTF-16",
        "latin.json": "byte 12: expected UTF-8 text, got 0xe9",
        "cut.png": "expected a whole PNG, got one that is cut off in chunk IDAT at byte 99",
        "two.png": "expected one record, got 2 that differ",
        "wrong.png": "layout.width: expected at least 1, got 0",
        "deep.json": "expected at most 64 levels of objects and lists inside each other, got more",
        "broken.json": "line 1, column 12: not JSON: expecting value",
    }
    before = sorted(folder.iterdir())
    for name, problem in expected.items():
        for command in (("generate", name), ("validate", name), ("convert", name, "out.json")):
            result = run(*command)
            assert (result.code, result.out, result.err) == (2, "", f"{name}: {problem}\n")
    assert sorted(folder.iterdir()) == before


def test_conversion_has_the_same_limit_of_instances(run: Command, folder: Path):
    instances = [{"id": str(k), "caption": "a", "box": [0, 0, 1, 1]} for k in range(1001)]
    (folder / "many.json").write_text(json.dumps({"prompt": "a", "width": 64, "height": 64, "instances": instances}))
    result = run("convert", "many.json", "out.json", "--to", "simpletuner")
    assert (result.code, result.err) == (2, "instances: expected at most 1000 (--max-instances), got 1001\n")
    assert run("convert", "many.json", "out.json", "--to", "simpletuner", "--max-instances", "1001").code == 0


@pytest.mark.parametrize("command", ["validate", "generate", "orders"])
def test_no_escape_sequence_reaches_the_terminal(command: str, run: Command, painter: Painter, folder: Path):
    ids = (HOSTILE, "b")
    instances = [{"id": each, "caption": HOSTILE, "box": [0, 0, 1, 1]} for each in ids]
    order = {"pairs": [{"front": HOSTILE, "behind": "b"}, {"front": "b", "behind": HOSTILE}]}
    layout = {"prompt": HOSTILE, "width": 64, "height": 64, "instances": instances, "order": order}
    (folder / "loop.json").write_text(json.dumps(layout))
    (folder / "broken.json").write_text(json.dumps({**layout, "cycles": "break"}))
    (folder / "field.json").write_text(json.dumps({**layout, "cycles": "allow", HOSTILE: 1}))
    (folder / "picture.png").write_bytes(png(plain(record(prompt=HOSTILE).replace('"embedded"', json.dumps(HOSTILE)))))
    output = () if command == "validate" else ("-o", "out.png")
    for name in ("loop.json", "broken.json", "field.json", "picture.png"):
        for as_json in ((), ("--json",)):
            result = run(command, name, *output, *as_json)
            text = (result.out + result.err).replace("\n", "")
            assert text.isprintable(), repr(text)
            if as_json and result.out:
                json.loads(result.out)
    assert SHOWN in run(command, "loop.json", *output).err


def test_what_a_terminal_is_shown():
    assert printable(HOSTILE) == SHOWN
    assert printable("é 海 🦀 'quoted' \\") == "é 海 🦀 'quoted' \\"
    assert printable("\udcff") == "\\udcff"
    assert json.loads(json_text([HOSTILE, "\udcff", {"é": 1}])) == [HOSTILE, "\udcff", {"é": 1}]
    assert json_text([HOSTILE], indent=None).isprintable()
