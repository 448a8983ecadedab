"""Every method over a backbone with weights in 8 bits: the layout costs no more than the backbone's own rounding.

What is not installed is skipped.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel, Method, backbone_shape
from tests.methods.zoo import arguments, builders, prepared, run
from tests.model.tiny import BACKBONE, BOXES, CHAIN, TEXT_TOKENS, Picture, randomise
from tests.pipelines.quantising import KINDS

WIDE = {**BACKBONE, "attention_head_dim": 16, "num_attention_heads": 4, "joint_attention_dim": 64,
        "pooled_projection_dim": 32, "axes_dims_rope": (4, 6, 6)}  # fmt: skip
"""Wide enough for blocks of 32 weights with a scale of their own."""
SCENE = Picture(boxes=BOXES, occluders=CHAIN)
FLOAT_ROUNDING = 1e-4
TIMES = 4
"""How much farther a forward with a layout may be from the unquantised one than a forward without."""

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::RuntimeWarning"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder with a stock transformer."""
    folder = tmp_path_factory.mktemp("base")
    stock = FluxTransformer2DModel(**WIDE)
    randomise(stock, 0)
    stock.save_pretrained(folder / "transformer")
    return folder


def adopted(base: Path) -> LayoutFluxTransformer2DModel:
    return LayoutFluxTransformer2DModel.adopt(FluxTransformer2DModel.from_pretrained(base / "transformer")).eval()


def method(name: str, transformer: LayoutFluxTransformer2DModel) -> Method:
    built = builders(backbone_shape(transformer))[name]()
    randomise(built, 7)
    return built.eval()


def inputs() -> dict[str, Tensor]:
    """Those of the narrow backbone, with texts as wide as this one reads them."""
    noise = torch.Generator().manual_seed(4)
    return arguments(1, torch.float32) | {
        "encoder_hidden_states": torch.randn(1, TEXT_TOKENS, WIDE["joint_attention_dim"], generator=noise),
        "pooled_projections": torch.randn(1, WIDE["pooled_projection_dim"], generator=noise),
    }


def texts() -> InstanceTexts:
    noise = torch.Generator().manual_seed(5)
    return InstanceTexts(
        pooled_NP=torch.randn(len(BOXES), WIDE["pooled_projection_dim"], generator=noise),
        sequence_NSE=torch.randn(len(BOXES), TEXT_TOKENS, WIDE["joint_attention_dim"], generator=noise),
    )


def weight_of(layer: Any) -> Tensor | None:
    """The numbers that a quantised layer's weights stand for; None for a layer that is not quantised."""
    if type(layer).__name__ == "GGUFLinear":
        from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

        return dequantize_gguf_tensor(layer.weight) if hasattr(layer.weight, "quant_type") else None
    weight = getattr(layer, "weight", None)
    return weight.dequantize() if isinstance(layer, nn.Linear) and type(weight) is not nn.Parameter else None


def dequantised(quantised: LayoutFluxTransformer2DModel, base: Path) -> LayoutFluxTransformer2DModel:
    """The same numbers in float32."""
    plain = adopted(base)
    layers, replaced = dict(plain.named_modules()), 0
    for name, layer in quantised.named_modules():
        weight = weight_of(layer)
        if weight is not None:
            layers[name].weight.data = weight.detach().float()
            replaced += 1
    assert replaced > 20, replaced
    return plain


@pytest.mark.parametrize(
    "name", ["occlusionformer", "instanceassemble", "creatilayout", "eligen", "gligen", "larender"]
)
@pytest.mark.parametrize("kind", ["torchao int8", "quanto int8", "gguf"])
@torch.no_grad()
def test_a_layout_over_a_quantised_backbone_is_within_rounding(kind, name, base):
    quantised = LayoutFluxTransformer2DModel.adopt(KINDS[kind](base)).eval()
    whole, plain = adopted(base), dequantised(quantised, base)
    built, given = method(name, whole), inputs()
    layout = prepared(built, [SCENE], words=texts(), dtype=torch.float32)
    stock = run(quantised, None, given)
    drawn = run(quantised, layout, given)
    # As the very numbers in float32 draw it; as near to the weights they were made of as the backbone alone is.
    torch.testing.assert_close(drawn, run(plain, layout, given), atol=FLOAT_ROUNDING, rtol=0)
    exact = run(whole, layout, given)
    rounding = (stock - run(whole, None, given)).abs()
    assert rounding.max() > 0, "nothing is quantised"
    assert (drawn - exact).abs().max() <= TIMES * rounding.max()
    assert (drawn - stock).abs().max() > 100 * FLOAT_ROUNDING, "the layout does nothing"
    for idle in (None, replace(layout, strength=0.0)):
        assert torch.equal(run(quantised, idle, given), stock)
