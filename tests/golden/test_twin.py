"""The fp64 twin gives the outputs recorded from the published model."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from occlusionformer.model import LayoutFluxTransformer2DModel
from tests.golden.check import DATA
from tests.golden.checkers.occlusionformer import recorded_logits
from tests.golden.recording import Case, load_transformer, read_cases
from tests.reference.model import Inputs, LayoutInputs, forward
from tests.reference.weights import Weights

TOLERANCE = 1e-5
"""The recording is fp32 with values up to 2; the worst difference seen is 4.5e-6."""

FOLDER = DATA / "occlusionformer"
CASES = list(read_cases(FOLDER))


def load_double(name: str) -> dict[str, Tensor]:
    return {key: value.double() for key, value in load_file(FOLDER / name).items()}


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights(load_double("base.safetensors"), load_double("layout.safetensors"), load_double("lora.safetensors"))


@pytest.fixture(scope="module")
def backbone() -> LayoutFluxTransformer2DModel:
    return load_transformer(FOLDER).double()


def twin_inputs(case: Case) -> tuple[Inputs, LayoutInputs | None]:
    double = {key: value.double() for key, value in case.tensors.items()}
    inputs = Inputs(**{name: double[name] for name in Inputs.__dataclass_fields__})
    if not case.entry["enable_layout"]:
        return inputs, None
    text_NP = double["instance_text_embeds"]
    return inputs, LayoutInputs(
        case.grid.height, case.grid.width, case.normalised_boxes, case.entry["occluders"], text_NP
    )


@torch.no_grad()
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_twin_gives_the_recorded_outputs(case: Case, weights: Weights, backbone: LayoutFluxTransformer2DModel):
    sample, logits = forward(backbone, weights, *twin_inputs(case))
    torch.testing.assert_close(sample, case.tensors["sample"].double(), rtol=0, atol=TOLERANCE)
    recorded_masks = recorded_logits(case)
    if recorded_masks:
        assert len(logits) == len(recorded_masks)
    for actual, recorded in zip(logits, recorded_masks, strict=False):
        torch.testing.assert_close(actual, recorded.double(), rtol=0, atol=TOLERANCE)
