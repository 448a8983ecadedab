"""The studio's JavaScript finds the record of a PNG where Python does, and says the same of every other file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from occlusionformer.apps import studio
from tests.generation.png_cases import cases

MODULE = Path(studio.__file__).parent / "static" / "js" / "png.js"

RUNNER = """
import { readFile } from "node:fs/promises";
import { provenanceOf, recordText } from "./png.mjs";
const told = {};
for (const place of process.argv.slice(2)) {
  const bytes = new Uint8Array(await readFile(place));
  try {
    told[place] = { text: await recordText(bytes) };
  } catch (error) {
    told[place] = { problem: error.message };
  }
  try {
    told[place].value = await provenanceOf(bytes);
  } catch (error) {
    told[place].refused = error.message;
  }
}
console.log(JSON.stringify(told));
"""


def test_every_case_of_the_table(tmp_path: Path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH: apt-get install nodejs")
    every = list(cases())
    shutil.copy(MODULE, tmp_path / "png.mjs")
    (tmp_path / "runner.mjs").write_text(RUNNER)
    for place, case in enumerate(every):
        (tmp_path / str(place)).write_bytes(case.content)
    command = [node, "runner.mjs", *map(str, range(len(every)))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    for place, case in enumerate(every):
        found = told[str(place)]
        assert (found.get("text"), found.get("problem")) == (case.text, case.problem), case.name
        if case.problem is not None:
            assert found["refused"] == case.problem
        elif case.text is None:
            assert found["value"] is None
        elif case.text:
            assert found["value"] == json.loads(case.text)
        else:
            assert found["refused"] == "expected a record in JSON, got something else"
