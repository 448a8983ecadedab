"""The seam between a layout method and the backbone: where a method may act, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from occlusionformer.model.backbone import DualLayers, SingleLayers
from occlusionformer.model.delta import WeightProducts
from occlusionformer.tensors.packing import PackedInstances


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutCondition:
    """A batch of layouts made ready for a model, once per request: geometry and one text vector per instance."""

    packed: PackedInstances
    text_NP: Tensor
    products: WeightProducts = field(default_factory=WeightProducts, compare=False)
    """Of the weights that its steps use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepInputs:
    """What an adapter may know about one denoising step.

    embed(timestep_N, guidance_N or None, pooled_NP) is the backbone's time-text embedding; rotary(ids_N3) its position
    tables; image_rotary those of the image tokens.
    """

    condition: LayoutCondition
    timestep_B: Tensor
    guidance_B: Tensor | None
    pooled_BP: Tensor
    image_rotary: tuple[Tensor, Tensor]
    embed: Callable[[Tensor, Tensor | None, Tensor], Tensor]
    rotary: Callable[[Tensor], tuple[Tensor, Tensor]]
    strength: float
    return_masks: bool
    return_weights: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterState:
    """What an adapter carries from block to block; `step` is the adapter's own."""

    step: Any
    tokens: Tensor
    mask_logits: tuple[Tensor, ...] = field(default=())
    weights: tuple[Tensor, ...] = field(default=())


class LayoutAdapter(Protocol):
    """A layout method over a stock backbone. It borrows the layers of a block and never changes them."""

    def begin(self, inputs: StepInputs) -> AdapterState: ...

    def after_dual(
        self, index: int, layers: DualLayers, image_BLD: Tensor, state: AdapterState
    ) -> tuple[Tensor, AdapterState]: ...

    def after_single(
        self, index: int, layers: SingleLayers, image_BLD: Tensor, state: AdapterState
    ) -> tuple[Tensor, AdapterState]: ...

    def acts_after_dual(self, index: int) -> bool: ...

    def acts_after_single(self, index: int) -> bool: ...
