"""Damaged checkpoints and model folders, and threads that share a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from occlusionformer.embedded.build import embedded_pipeline
from occlusionformer.model.checkpoint import published_state
from occlusionformer.pictures import read_picture
from tests.apps.conftest import Command, run
from tests.cases.replay import MOST_MEMORY, refusal, replay, untouched
from tests.model.damaging import CONFIG
from tests.model.tiny import tiny_branch

__all__ = ["run"]

CASE = Path(__file__).parent / "data" / "threads" / "case.py"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "two-fruits.json"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def junk(path: Path) -> None:
    path.write_bytes(b"junk")


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: list[Callable[[Path], None]] = [cut, junk, empty]

# Checkpoints of the published kind


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = published_state(tiny_branch(CONFIG))
    torch.save(state.layout, tmp_path / "occ.pth")
    save_file(state.lora, tmp_path / "lora.safetensors")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["occ.pth", "lora.safetensors"])
def test_a_cut_checkpoint_is_refused_by_name(name: str, checkpoint: Path):
    cut(checkpoint / name)
    told = refusal("inspect", checkpoint, folder=checkpoint, harmless=("inspect", "embedded")).splitlines()
    assert [line.partition(": ")[0] for line in told] == [str(checkpoint / name)]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["occ.pth", "lora.safetensors"])
def test_every_damage_of_a_checkpoint_is_told(
    run: Command, name: str, damage: Callable[[Path], None], checkpoint: Path
):
    damage(checkpoint / name)
    with untouched(checkpoint):
        done = run("inspect", checkpoint)
    assert (done.code, done.out) == (2, "")
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == [str(checkpoint / name)]


# Checkpoints of a run

SETTINGS = ("batch=1", "saving.every=1", "logging.trackers=[]", "logging.pictures=0", "logging.probe_count=1")
TRAIN = ("train", "overfit", "--out", "run", *(word for each in SETTINGS for word in ("--set", each)))
SHORT = (*TRAIN, "--set", "steps=1")


@pytest.fixture
def weights(run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of weights of a run's three checkpoints, oldest first."""
    monkeypatch.chdir(tmp_path)
    assert run(*TRAIN, "--set", "steps=3", "--set", "saving.keep=3").code == 0
    found = sorted(tmp_path.glob("run/checkpoints/step-*/weights.safetensors"))
    assert len(found) == 3
    return found


@pytest.mark.slow
def test_a_run_with_a_damaged_checkpoint_goes_on_from_the_one_before(weights: list[Path], tmp_path: Path):
    cut(weights[-1])
    reply = replay(*TRAIN, "--set", "steps=3", "--resume", folder=tmp_path, harmless=SHORT)
    assert reply.code == 0, reply.stderr
    assert "going on from step 2\n" in reply.stderr
    [warning] = [line for line in reply.stderr.splitlines() if line.startswith("warning: ")]
    newest, before = (path.relative_to(tmp_path) for path in (weights[2], weights[1].parent))
    assert warning.startswith(f"warning: damaged: {newest}: not a safetensors file: ")
    assert f"; going on from {before}, the newest that is whole." in warning
    assert reply.memory_beyond < MOST_MEMORY


@pytest.mark.slow
def test_a_run_with_damaged_checkpoints_alone_is_refused(weights: list[Path], tmp_path: Path):
    for path, damage in zip(weights, DAMAGES, strict=True):
        damage(path)
    told = refusal(*TRAIN, "--set", "steps=3", "--resume", folder=tmp_path, harmless=SHORT).splitlines()
    assert len(told) == 3
    for line, path in zip(told, reversed(weights), strict=True):
        assert str(path.relative_to(tmp_path)) in line
        assert "no checkpoint is whole" in line


# Folders of pipelines


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged model as a folder."""
    folder = tmp_path_factory.mktemp("saved")
    embedded_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in the current folder, beside a layout."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLE, tmp_path / "in.json")
    return shutil.copytree(saved, tmp_path / "model")


GENERATE = ("generate", "in.json", "--model", "./model", "-o", "out.png")
WEIGHTS = ("text_encoder/diffusion_pytorch_model.safetensors", "transformer/diffusion_pytorch_model.safetensors")
NOT_SAFETENSORS = "not a safetensors file: Error while deserializing header"


@pytest.mark.slow
def test_a_cut_model_folder_is_refused_by_name(model: Path, tmp_path: Path):
    for name in WEIGHTS:
        cut(model / name)
    told = refusal(*GENERATE, folder=tmp_path, harmless=("generate", EXAMPLE, "-o", "out.png")).splitlines()
    reason = f"{NOT_SAFETENSORS}: incomplete metadata, file not fully covered"
    assert sorted(told) == [f"model: {name}: {reason}" for name in WEIGHTS]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (junk, "not a safetensors file: expected a header of at most 16777216 bytes, got 1802401130"),
        (empty, f"{NOT_SAFETENSORS}: header too small"),
    ],
)
def test_every_damage_of_a_model_folder_is_told(
    run: Command, damage: Callable[[Path], None], reason: str, model: Path, tmp_path: Path
):
    for name in WEIGHTS:
        damage(model / name)
    with untouched(tmp_path):
        done = run(*GENERATE)
    assert (done.code, done.out) == (2, "")
    assert sorted(done.err.splitlines()) == [f"model: {name}: {reason}" for name in WEIGHTS]


# Threads


@pytest.mark.slow
def test_threads_with_one_model_draw_what_the_command_line_draws(tmp_path: Path):
    for number, colour in enumerate(("light blue", "yellow", "grey")):
        small = {"prompt": f"a plain {colour} background", "width": 64, "height": 64, "seed": number}
        (tmp_path / f"{number}.json").write_text(json.dumps({**json.loads(EXAMPLE.read_text()), **small}))
    in_one_thread = (CASE, tmp_path / "2.json")
    reply = replay(CASE, "0.json", "1.json", folder=tmp_path, harmless=in_one_thread)
    assert (reply.code, reply.stdout) == (0, ""), reply.stderr
    assert "Traceback" not in reply.stderr
    assert reply.seconds_beyond < 2
    assert reply.memory_beyond < MOST_MEMORY
    for number in range(2):
        drawn = ("generate", f"{number}.json", "--steps", 2, "-o", f"alone-{number}.png")
        alone = replay(*drawn, folder=tmp_path, harmless=in_one_thread)
        assert alone.code == 0, alone.stderr
        together, expected = (
            read_picture(tmp_path / name).pixels() for name in (f"{number}.png", f"alone-{number}.png")
        )
        np.testing.assert_array_equal(together, expected)
