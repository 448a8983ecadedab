"""Malformed layouts: one clear line for each problem, exit code 2, no file, and no model loaded for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.apps.conftest import Command
from tests.apps.examples import MALFORMED
from tests.tables import for_each

MESSAGES = {
    "nan-box": "instances[0].box: expected y1 to be a finite number, got nan",
    "inverted-box": "instances[0].box: expected x1 < x2, got 0.6 and 0.1",
    "box-outside": "instances[1].box: expected x2 from 0 to 1, got 1.2",
    "unknown-id": "order.front_to_back[1]: no instance 'cup'",
    "loop": "order: z-order loops: apple > pear > gift > apple",
    "duplicate-id": "instances[1].id: expected an id of its own, got 'apple' again",
    "empty-caption": "instances[0].caption: expected some text, got '   '",
    "ten-thousand-instances": "instances: expected at most 1000 (--max-instances), got 10000",
}

CASES = for_each("name", MESSAGES)


def test_every_malformed_example_is_here():
    assert {path.stem for path in MALFORMED.iterdir()} == set(MESSAGES)


@CASES
@for_each("command", ["generate", "orders"])
def test_drawing_refuses_it(command: str, name: str, run: Command, folder: Path):
    result = run(command, MALFORMED / f"{name}.json", "--output", "picture.png")
    assert (result.code, result.out, result.err) == (2, "", MESSAGES[name] + "\n")
    assert list(folder.iterdir()) == []


@CASES
def test_problems_as_json(name: str, run: Command, folder: Path):
    result = run("generate", MALFORMED / f"{name}.json", "--json")
    assert (result.code, result.json, result.err) == (2, {"problems": [MESSAGES[name]]}, "")
    assert list(folder.iterdir()) == []


@CASES
def test_validation_names_the_file(name: str, run: Command):
    path = MALFORMED / f"{name}.json"
    result = run("validate", path)
    assert (result.code, result.out, result.err) == (2, "", f"{path}: {MESSAGES[name]}\n")


@for_each("name", sorted(set(MESSAGES) - {"ten-thousand-instances"}))
def test_conversion_refuses_it(name: str, run: Command, folder: Path):
    result = run("convert", MALFORMED / f"{name}.json", "out.json", "--to", "simpletuner")
    assert (result.code, result.err) == (2, MESSAGES[name] + "\n")
    assert list(folder.iterdir()) == []


def test_everything_wrong_is_told_at_once(run: Command, folder: Path):
    document = json.loads((MALFORMED / "inverted-box.json").read_text())
    document["instances"][1]["caption"] = ""
    document["order"] = {"front_to_back": ["apple", "cup"]}
    (folder / "layout.json").write_text(json.dumps(document))
    result = run("generate", "layout.json", "--output", "missing/picture.jpg")
    assert result.code == 2
    assert result.err.splitlines() == [
        "output: expected a name ending in .png, got 'missing/picture.jpg'",
        "instances[0].box: expected x1 < x2, got 0.6 and 0.1",
        "instances[1].caption: expected some text, got ''",
        "order.front_to_back[1]: no instance 'cup'",
    ]


def test_no_model_is_loaded_for_it(tmp_path: Path):
    script = (
        "import sys\n"
        "from occlusionformer.apps.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'torch', 'numpy', 'diffusers'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", script, "generate", str(MALFORMED / "loop.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (2, MESSAGES["loop"] + "\n")
    assert list(tmp_path.iterdir()) == []


def test_the_limit_can_be_raised(run: Command):
    path = MALFORMED / "ten-thousand-instances.json"
    result = run("validate", path, "--max-instances", 10000)
    assert (result.code, result.out) == (0, f"{path}: ok (128 x 128, 10000 instances, no order)\n")
