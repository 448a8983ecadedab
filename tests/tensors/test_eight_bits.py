"""Weights in eight bits, and files of them."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from occlusionformer.tensors.eight_bits import EIGHT_BITS, from_eight_bits, in_eight_bits
from occlusionformer.tensors.files import CheckpointError, read_tensors


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return {
        "matrix": torch.randn(6, 10) * torch.tensor([1e-4, 1e-2, 1.0, 5.0, 100.0, 0.0])[:, None],
        "bias": torch.randn(6),
        "index": torch.arange(3),
    }


def test_a_number_is_off_by_at_most_half_a_step_of_its_row(weights):
    found = from_eight_bits(in_eight_bits(weights))
    assert found.keys() == weights.keys()
    step_R = weights["matrix"].abs().amax(1) / 127
    assert ((found["matrix"] - weights["matrix"]).abs() <= step_R[:, None] * 0.5001).all()
    assert torch.equal(found["bias"], weights["bias"].bfloat16())
    assert torch.equal(found["index"], weights["index"])


def test_what_is_stored_again_does_not_change(weights):
    once = from_eight_bits(in_eight_bits(weights))
    assert torch.allclose(from_eight_bits(in_eight_bits(once))["matrix"], once["matrix"], rtol=1e-6, atol=0)


def test_a_file_of_them_is_read_as_floats(weights, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(in_eight_bits(weights), path, {**EIGHT_BITS, "looks": "placed"})
    found, said = read_tensors(path)
    assert said["looks"] == "placed"
    assert found["matrix"].dtype == torch.float32
    assert torch.equal(found["matrix"], from_eight_bits(in_eight_bits(weights))["matrix"])


def test_scales_and_matrices_that_do_not_belong_together_are_all_told(weights, tmp_path):
    stored = in_eight_bits({**weights, "other": torch.ones(2, 2)})
    del stored["matrix"], stored["other.scale"]
    stored["bias"], stored["bias.scale"] = torch.ones(2, 2, dtype=torch.int8), torch.ones(3, 1)
    path = tmp_path / "weights.safetensors"
    save_file(stored, path, EIGHT_BITS)
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    assert sorted(caught.value.reasons) == [
        "bias.scale: expected 2 x 1 floats, got (3, 1)",
        "matrix.scale: expected matrix beside it, got none",
        "other: expected other.scale beside it, got none",
    ]
