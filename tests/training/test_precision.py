"""What `auto` takes where."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from occlusionformer.model.precision import CPU_INSTRUCTIONS, chosen_precision
from tests.training.runs import tiny_trainer


@pytest.mark.parametrize("named", ["no", "bf16", "fp16"])
def test_what_is_named_is_taken(named):
    assert chosen_precision(named, "cpu") == named


@pytest.mark.parametrize("having", [(), CPU_INSTRUCTIONS[:1], CPU_INSTRUCTIONS[1:], CPU_INSTRUCTIONS])
def test_a_processor_with_bf16_instructions_computes_in_bf16(having, monkeypatch):
    for name in CPU_INSTRUCTIONS:
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in having, raising=False)
    assert chosen_precision("auto", "cpu") == ("bf16" if having else "no")


def test_a_torch_that_cannot_tell_computes_in_float32(monkeypatch):
    for name in CPU_INSTRUCTIONS:
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert chosen_precision("auto", "cpu") == "no"


@pytest.mark.parametrize(("able", "expected"), [(True, "bf16"), (False, "no")])
def test_a_gpu_is_asked(able, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    assert chosen_precision("auto", "cuda:0") == expected


def test_other_devices_compute_in_float32():
    assert chosen_precision("auto", torch.device("mps")) == "no"


def test_a_run_follows_one_of_another_precision_in_the_same_process(tmp_path: Path):
    for number, precision in enumerate(("no", "bf16", "no")):
        trainer = tiny_trainer(
            tmp_path / str(number), f"execution.precision={precision}", "execution.device=cpu", "steps=1", "batch=1"
        )
        assert trainer.accelerator.mixed_precision == precision
        trainer.run()
