"""Weights by their published names, and the linear maps that use them: with and without the branch's LoRA."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """`base`: the backbone's key names; `layout`: the layout modules'; `lora`: `transformer.<module>.lora_A.weight`."""

    base: Mapping[str, Tensor]
    layout: Mapping[str, Tensor]
    lora: Mapping[str, Tensor] = field(default_factory=dict)
    lora_scale: float = 1.0


def affine(weights: Mapping[str, Tensor], module: str, x: Tensor) -> Tensor:
    """W x + b."""
    return linear(weights, module, x) + weights[f"{module}.bias"]


def linear(weights: Mapping[str, Tensor], module: str, x: Tensor) -> Tensor:
    """W x."""
    return x @ weights[f"{module}.weight"].T


def adapted(weights: Weights, module: str, x: Tensor) -> Tensor:
    """base(x) + B(A(x)): the borrowed layer as the branch sees it; without LoRA weights, the layer itself."""
    output = affine(weights.base, module, x)
    down = weights.lora.get(f"transformer.{module}.lora_A.weight")
    if down is None:
        return output
    up = weights.lora[f"transformer.{module}.lora_B.weight"]
    return output + weights.lora_scale * ((x @ down.T) @ up.T)
