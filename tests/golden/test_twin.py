"""The fp64 twin gives the outputs recorded from the published model."""

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file
from torch import Tensor

from tests.golden.check import DATA, Case, load_backbone, read_cases
from tests.reference.model import Inputs, LayoutInputs, forward
from tests.reference.weights import Weights

TOLERANCE = 1e-5
"""The recording is fp32 with values up to 2; the worst difference seen is 4.5e-6."""

CASES = list(read_cases(DATA))


def load_double(name: str) -> dict[str, Tensor]:
    return {key: value.double() for key, value in load_file(DATA / name).items()}


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights(load_double("base.safetensors"), load_double("layout.safetensors"), load_double("lora.safetensors"))


@pytest.fixture(scope="module")
def backbone() -> FluxTransformer2DModel:
    return load_backbone(DATA).double()


def twin_inputs(case: Case) -> tuple[Inputs, LayoutInputs | None]:
    double = {key: value.double() for key, value in case.tensors.items()}
    inputs = Inputs(**{name: double[name] for name in Inputs.__dataclass_fields__})
    if not case.enable_layout:
        return inputs, None
    text_NP = double["instance_text_embeds"]
    return inputs, LayoutInputs(case.grid.height, case.grid.width, case.normalised_boxes, case.occluders, text_NP)


@torch.no_grad()
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_twin_gives_the_recorded_outputs(case: Case, weights: Weights, backbone: FluxTransformer2DModel):
    sample, logits = forward(backbone, weights, *twin_inputs(case))
    torch.testing.assert_close(sample, case.tensors["sample"].double(), rtol=0, atol=TOLERANCE)
    if case.mask_logits:
        assert len(logits) == len(case.mask_logits)
    for actual, recorded in zip(logits, case.mask_logits, strict=False):
        torch.testing.assert_close(actual, recorded.double(), rtol=0, atol=TOLERANCE)
