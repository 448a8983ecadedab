"""A run that was killed and resumed is the run that was not."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch

from occlusionformer.training import SettingsError
from occlusionformer.training.checkpoint import newest_checkpoint

from .killing import STEPS, differing_files, last_line, reached, run, start
from .runs import tiny_config, tiny_trainer


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_with_the_same_weights():
    steps, different = run(kills=3, seed=1)
    assert not different
    assert steps == sorted(steps)
    assert steps[-1] > 0


@pytest.mark.slow
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_exactly(tmp_path: Path):
    process = start(tmp_path / "stopped", "saving.every=1000")
    while last_line(tmp_path / "stopped") < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert 3 <= reached(tmp_path / "stopped") < STEPS
    for name in ("stopped", "whole"):
        assert start(tmp_path / name, "saving.every=1000").wait() == 0
    assert not differing_files(tmp_path / "whole", tmp_path / "stopped")


def test_resuming_in_one_process_is_exact(tmp_path: Path):
    """Two optimizers, several epochs of a shuffled source, dropped orders."""
    settings = ("batch=2", "data.count=3", "data.dropped_order=0.5", "optimizer.name=muon", "logging.every=1")
    whole = tiny_trainer(tmp_path / "whole", "steps=4", *settings)
    whole.run()
    first = tiny_trainer(tmp_path / "parts", "steps=4", *settings)
    assert first.run(lambda step, figures: setattr(first, "stopping", True)).step == 2
    second = tiny_trainer(tmp_path / "parts", "steps=4", *settings, resume=True)
    assert second.step == 2
    second.run()
    for name, parameter in whole.parameters.items():
        assert torch.equal(parameter, second.parameters[name]), name
        assert torch.equal(whole.average.values[name], second.average.values[name]), name


def test_a_run_killed_between_its_last_checkpoint_and_its_weights_leaves_the_last_weights(tmp_path: Path):
    tiny_trainer(tmp_path, "batch=1", "steps=2", "saving.every=1").run()
    exported = [path for path in sorted(tmp_path.rglob("*.safetensors")) if "checkpoints" not in path.parts]
    written = {path: path.read_bytes() for path in exported}
    assert len(written) > 1
    for path in exported:
        path.write_bytes(b"of an earlier step")
    assert tiny_trainer(tmp_path, "batch=1", "steps=2", "saving.every=1", resume=True).run().reason == "finished"
    assert {path: path.read_bytes() for path in exported} == written


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path: Path):
    tiny_trainer(tmp_path, "batch=1", "steps=2", "saving.every=1", "logging.every=1").run()
    log = tmp_path / "log.jsonl"
    with log.open("a") as file:
        file.write('{"step": 3, "flow": 1.0}\n{"step": 4, "fl')
    before = json.loads(log.read_text().splitlines()[0])
    tiny_trainer(tmp_path, "batch=1", "steps=2", "saving.every=1", "logging.every=1", resume=True).run()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0] == before
    assert {line["step"] for line in lines} == {1, 2}


def test_a_folder_with_a_run_is_not_overwritten_and_not_resumed_with_other_settings(tmp_path: Path):
    tiny_trainer(tmp_path, "batch=1", "steps=1").run()
    newest = newest_checkpoint(tmp_path / "checkpoints")
    assert newest is not None
    with pytest.raises(SettingsError, match="out: expected a folder without checkpoints, or resume"):
        tiny_trainer(tmp_path, "batch=1", "steps=1")
    with pytest.raises(SettingsError) as caught:
        tiny_trainer(tmp_path, "batch=1", "steps=1", "optimizer.lr=0.5", "model.method.lora_rank=2", resume=True)
    assert caught.value.problems == [
        "model.method.lora_rank: expected 4 as in the checkpoint, got 2",
        "optimizer.lr: expected 0.006 as in the checkpoint, got 0.5",
    ]
    tiny_trainer(tmp_path, "batch=1", "steps=1", "execution.workers=1", "logging.every=3", resume=True)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"batch: expected a multiple of processes x execution.accumulate, 1 x 3"):
        tiny_trainer(tmp_path, "execution.accumulate=3")
    assert tiny_config("batch=8").batch == 8
