"""The studio's JavaScript reads captions as the library does, and completes them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from occlusionformer.apps import studio
from occlusionformer.embedded.vocabulary import packaged_vocabulary
from occlusionformer.generation.vocabulary import LINKS, Vocabulary
from tests.generation.test_vocabulary import KNOWN

SCRIPTS = Path(studio.__file__).parent / "static" / "js"

RUNNER = """
import { readFile } from "node:fs/promises";
import { Vocabulary } from "./vocabulary.js";
const { told, captions, typed } = JSON.parse(await readFile("cases.json", "utf8"));
const vocabulary = new Vocabulary(told);
const nothing = new Vocabulary();
console.log(JSON.stringify({
  named: captions.map((caption) => vocabulary.objectIn(caption)),
  unknown: captions.map((caption) => vocabulary.isUnknown(caption)),
  completed: typed.map((caption) => vocabulary.completions(caption)),
  silent: captions.some((caption) => nothing.isUnknown(caption)) || nothing.completions("a").length > 0,
}));
"""

CAPTIONS = [
    "cat", "a black cat sitting", "A KITTEN, asleep!", "hot dogs", "a toy dog on a bus", "a cat with a puppy",
    "a dog in a hot dog costume", "a glass of milk", "a pair of glasses", "a fire-engine", "busses", "the bus",
    "two books", "chandelier", "two people kissing", "", "  ", "!?", "котёнок", "cherries", "cherry", "foxes",
    "wolves", "a winner's cup", "Tomatoes on a stall", "an orange", "an orange cat", "a cat, orange",
    "an orange on a car",
]  # fmt: skip


def run(folder: Path, known: Vocabulary, typed: list[str]) -> dict:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH: apt-get install nodejs")
    shutil.copy(SCRIPTS / "vocabulary.js", folder / "vocabulary.js")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "runner.js").write_text(RUNNER)
    told = {**known.as_json(), "links": sorted(LINKS)}
    captions = CAPTIONS + [f"two {word}s" for item in known.objects for word in item.words]
    (folder / "cases.json").write_text(json.dumps({"told": told, "captions": captions, "typed": typed}))
    done = subprocess.run([node, "runner.js"], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    value = json.loads(done.stdout)
    expected = [known.object_in(caption) for caption in captions]
    assert value["named"] == [item and item.name for item in expected]
    assert value["unknown"] == [
        item is None and bool(text.strip()) for item, text in zip(expected, captions, strict=True)
    ]
    assert value["silent"] is False
    return value


@pytest.mark.parametrize("known", [KNOWN, packaged_vocabulary()], ids=lambda known: str(len(known.objects)))
def test_captions_are_read_as_by_the_library(known: Vocabulary, tmp_path: Path):
    run(tmp_path, known, [])


def test_the_last_words_are_completed(tmp_path: Path):
    typed = ["a bl", "a black c", "kit", "a fire e", "a dog and a hot", "a cat", "xyz", "", "  ", "a cat "]
    assert run(tmp_path, KNOWN, typed)["completed"] == [
        ["a black", "a blue"],
        ["a black cat", "a black cherries", "a black cherry"],
        ["kitten"],
        ["a fire engine"],
        ["a dog and a hot dog"],
        [],
        [],
        [],
        [],
        [],
    ]
