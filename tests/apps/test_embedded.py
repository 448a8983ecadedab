"""The commands with the model that ships with the package."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.generation import read_provenance
from occlusionformer.layout import read_layout
from tests.apps.conftest import Command
from tests.apps.examples import DRAWABLE, TWO_FRUITS, format_of
from tests.cases.replay import replay

MOST_MEMORY = 1e9
SMALL = ("--steps", 1, "--size", "64x64")


@pytest.mark.parametrize("path", DRAWABLE, ids=lambda path: path.stem)
def test_every_example_is_drawn(path: Path, run: Command, folder: Path):
    result = run("generate", path, "--format", format_of(path), "--steps", 1, "--masks")
    assert result.code == 0, result.err
    assert "warning" not in result.err
    count = len(read_layout(path, format_of(path)).instances)
    assert len(list(folder.glob("out-mask-*.png"))) == count
    assert np.asarray(Image.open("out.png")).std() > 5


def test_a_scene_in_more_words_than_are_read_is_drawn_with_a_warning(run: Command, folder: Path):
    wordy = json.loads(TWO_FRUITS.read_text()) | {"prompt": "a very " + "very " * 80 + "blue background"}
    (folder / "wordy.json").write_text(json.dumps(wordy))
    result = run("generate", "wordy.json", *SMALL)
    assert result.code == 0, result.err
    assert (
        "warning: text beyond an encoder's limit is not read: text_encoder reads 77 tokens, prompt 0 has 84; "
        "text_encoder_2 reads 72 tokens, prompt 0 has 84" in result.err
    )


def test_a_picture_is_repeated_bit_for_bit(run: Command, folder: Path):
    assert run("generate", TWO_FRUITS, *SMALL, "--output", "first.png").code == 0
    assert run("generate", "first.png", "--output", "again.png").code == 0
    assert Path("again.png").read_bytes() == Path("first.png").read_bytes()


def test_a_picture_is_repeated_in_its_own_precision(run: Command, folder: Path):
    for precision, dtype in (("fp32", "float32"), ("bf16", "bfloat16")):
        assert run("generate", TWO_FRUITS, *SMALL, "--precision", precision, "--output", "first.png").code == 0
        assert read_provenance("first.png")["dtype"] == dtype
        assert run("generate", "first.png", "--output", "again.png").err == ""
        assert Path("again.png").read_bytes() == Path("first.png").read_bytes()
    changed = run("generate", "first.png", "--precision", "fp32", "--output", "again.png")
    assert "pixels may differ from the picture that is repeated: dtype was bfloat16, is float32" in changed.err


def test_the_order_decides_the_overlap_and_little_else(run: Command, folder: Path):
    (folder / "swapped.json").write_text(TWO_FRUITS.read_text().replace('["apple", "pear"]', '["pear", "apple"]'))
    assert run("generate", TWO_FRUITS, "--output", "apple.png").code == 0
    assert run("generate", "swapped.json", "--output", "pear.png").code == 0
    apple, pear = (np.asarray(Image.open(name)).astype(float) for name in ("apple.png", "pear.png"))
    boxes = [instance.box for instance in read_layout(TWO_FRUITS).instances]
    x1, y1, x2, y2 = boxes[0].intersection(boxes[1]).pixels(256, 256)
    overlaps = np.zeros((256, 256), bool)
    overlaps[y1:y2, x1:x2] = True
    change = np.abs(apple - pear).mean(axis=2)
    assert change[overlaps].mean() > 5 * change[~overlaps].mean()
    redness = [(image[..., 0] - image[..., 1])[overlaps].mean() for image in (apple, pear)]
    assert redness[0] > redness[1] + 20


def test_its_card(run: Command):
    card = run("inspect", "embedded", "--json").json
    assert {part["name"] for part in card["parts"]} == {"vae", "text_encoder", "transformer", "branch"}
    assert "weights/branch.safetensors" in card["files"]
    assert "other" not in {part["name"] for part in card["branch_parts"]}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory of a child in kilobytes")
def test_the_command_needs_little_memory(tmp_path: Path):
    reply = replay("generate", TWO_FRUITS, folder=tmp_path)
    assert reply.code == 0, reply.stderr
    assert reply.memory < MOST_MEMORY
    assert os.listdir(tmp_path) == ["out.png"]
