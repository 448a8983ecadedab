"""The studio's JavaScript moves masks with their boxes: pixel by pixel the same, and at the cost of runs alone."""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from occlusionformer.apps import studio
from occlusionformer.layout import RunLength, rle

SCRIPTS = Path(studio.__file__).parent / "static" / "js"

RUNNER = """
import { readFile } from "node:fs/promises";
import { compress, decompress, placeRegion } from "./region.js";
const cases = JSON.parse(await readFile("cases.json", "utf8"));
const placed = cases.map(({ region, from, to }) => placeRegion(region, from, to));
const texts = cases.map(({ counts }) => ({ text: compress(counts), counts: decompress(compress(counts)) }));
console.log(JSON.stringify({ placed, texts }));
"""

Box = tuple[float, float, float, float]


def run(folder: Path, cases: list[dict[str, Any]]) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH: apt-get install nodejs")
    for name in ("region.js", "geometry.js"):
        shutil.copy(SCRIPTS / name, folder / name)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "runner.js").write_text(RUNNER)
    (folder / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run([node, "runner.js"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def a_box(rng: random.Random) -> Box:
    left, top = rng.random() * 0.8, rng.random() * 0.8
    return left, top, left + 0.1 + rng.random() * (0.9 - left), top + 0.1 + rng.random() * (0.9 - top)


def a_case(rng: random.Random) -> dict[str, Any]:
    height, width = rng.randint(1, 12), rng.randint(1, 12)
    counts = []
    while sum(counts) < height * width:
        counts.append(min(rng.randint(0, 8), height * width - sum(counts)))
    if not any(counts[1::2]):
        counts = [0, height * width]
    text: Any = rle.compress(counts) if rng.random() < 0.5 else counts
    return {
        "region": {"size": [height, width], "counts": text},
        "from": a_box(rng),
        "to": a_box(rng),
        "counts": counts,
    }


def moved(case: dict[str, Any]) -> list[list[int]]:
    """Every pixel from the one that its middle came from."""
    mask = RunLength.model_validate(case["region"])
    rows, (height, width) = mask.rows(), mask.size

    def origin(pixel: int, side: int, axis: int) -> int:
        to, source = case["to"], case["from"]
        share = ((pixel + 0.5) / side - to[axis]) / (to[axis + 2] - to[axis])
        return math.floor((source[axis] + share * (source[axis + 2] - source[axis])) * side)

    columns = [origin(x, width, 0) for x in range(width)]
    lines = [origin(y, height, 1) for y in range(height)]
    return [[int(0 <= y < height and 0 <= x < width and rows[y][x]) for x in columns] for y in lines]


def test_masks_move_pixel_by_pixel(tmp_path: Path):
    rng = random.Random(0)
    cases = [a_case(rng) for _ in range(400)]
    told = run(tmp_path, cases)
    for case, placed, text in zip(cases, told["placed"], told["texts"], strict=True):
        assert text == {"text": rle.compress(case["counts"]), "counts": case["counts"]}
        expected = moved(case)
        if not any(map(any, expected)):
            assert placed is None
        else:
            assert type(placed["counts"]) is type(case["region"]["counts"])
            assert RunLength.model_validate(placed).rows() == expected


def test_the_largest_mask_is_moved_in_a_second(tmp_path: Path):
    counts = [1, 65_535**2 - 1]
    case = {
        "region": {"size": [65_535, 65_535], "counts": counts},
        "from": [0, 0, 1, 1],
        "to": [0.25, 0.25, 0.75, 0.75],
        "counts": counts,
    }
    told = run(tmp_path, [case])
    assert told["texts"] == [{"text": rle.compress(counts), "counts": counts}]
    placed = RunLength.model_validate(told["placed"][0])
    assert len(placed.run_lengths()) < 2 * 65_535
    assert sum(placed.run_lengths()[1::2]) == pytest.approx(65_535**2 / 4, rel=1e-4)
