"""The drawing commands with a real pipeline, tiny and with random weights, opened from a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from occlusionformer.generation import read_provenance
from tests.apps.conftest import Command
from tests.apps.examples import TWO_FRUITS
from tests.pipelines.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(folder)
    return folder


def test_a_picture_is_repeated_bit_for_bit(model: Path, run: Command, folder: Path):
    first = run(
        "generate", TWO_FRUITS, "--model", model, "--size", "64x64", "--output", "first.png", "--masks", "--overlay"
    )
    assert first.code == 0, first.err
    assert read_provenance("first.png")["model"] == str(model)
    refused = run("generate", "first.png", "--output", "again.png")
    wanted = f"model: the picture names {str(model)!r}, which is used only when you name it too, with --model\n"
    assert (refused.code, refused.err) == (2, wanted)
    assert not Path("again.png").exists()
    again = run("generate", "first.png", "--model", model, "--output", "again.png")
    assert (again.code, "pixels may differ" in again.err) == (0, False)
    assert Path("again.png").read_bytes() == Path("first.png").read_bytes()
    other = run("generate", "first.png", "--model", model, "--output", "other.png", "--seed", 8)
    assert other.code == 0
    assert Path("other.png").read_bytes() != Path("first.png").read_bytes()
    assert Image.open("first-mask-1-apple.png").size == (64, 64)


def test_orders_change_the_picture_but_not_its_noise(model: Path, run: Command, folder: Path):
    arguments = ["--model", model, "--size", "64x64", "--grounding-ratio", 1, "--output", "sheet.png"]
    assert run("orders", TWO_FRUITS, *arguments).code == 0
    sheet = Image.open("sheet.png")
    cells = [sheet.crop((left, 12, left + 320, 332)) for left in (12, 344)]
    assert ImageChops.difference(*cells).getbbox() is not None
    assert run("orders", TWO_FRUITS, *arguments, "--strength", 0).code == 0
    sheet = Image.open("sheet.png")
    cells = [sheet.crop((left, 12, left + 320, 332)) for left in (12, 344)]
    assert ImageChops.difference(*cells).getbbox() is None


def test_a_canvas_the_model_cannot_draw(model: Path, run: Command, folder: Path):
    result = run("generate", TWO_FRUITS, "--model", model, "--size", "50x64")
    assert (result.code, result.out, "Traceback" in result.err) == (2, "", False)
    assert "50" in result.err
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_control_c_while_drawing(model: Path, tmp_path: Path):
    """The process says when its first step is done; it is interrupted then, a thousand steps from the end."""
    script = (
        "import sys\n"
        "from occlusionformer.apps.cli import main\n"
        "from occlusionformer.apps.cli.progress import DrawingProgress\n"
        "shown = DrawingProgress.on_step\n"
        "def told(self, step, total):\n"
        "    print(step, flush=True) if step == 1 else None\n"
        "    shown(self, step, total)\n"
        "DrawingProgress.on_step = told\n"
        "main(sys.argv[1:])\n"
    )
    options = ["--model", str(model), "--steps", "1000", "--grounding-ratio", "1", "--masks", "--overlay"]
    command = [sys.executable, "-c", script, "generate", str(TWO_FRUITS), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, text=True, **pipes) as process:
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGINT)
        interrupted_at = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - interrupted_at < 20
    assert (process.returncode, out, err) == (130, "", "interrupted: nothing was written\n")
    assert list(tmp_path.iterdir()) == []
