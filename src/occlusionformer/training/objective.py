"""What is minimised: rectified flow, and the queried alignment of predicted masks.

Legend: B samples, L tokens, C channels of a token, N instances, S text tokens, E text width, P pooled width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from occlusionformer.model import FluxInputs, LayoutCondition, LayoutFlux, LayoutFluxOutput, OcclusionBranch
from occlusionformer.model.backbone import FluxTransformer2DModel
from occlusionformer.tensors import flow
from occlusionformer.tensors.alignment import mask_cross_entropy
from occlusionformer.training.config import ObjectiveConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """Texts and layouts of a batch, encoded."""

    prompt_BSE: Tensor
    pooled_BP: Tensor
    layout: LayoutCondition
    image_ids: Tensor
    guidance_B: Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """A part of a batch, encoded and on the device."""

    clean_BLC: Tensor
    noise_BLC: Tensor
    time_B: Tensor
    mask_NL: Tensor
    conditions: Conditions


class Objective(nn.Module):
    """Backbone and branch with their loss, so that processes that share gradients see one forward."""

    def __init__(
        self,
        backbone: FluxTransformer2DModel,
        branch: OcclusionBranch,
        settings: ObjectiveConfig,
        *,
        predicts_sample: bool,
    ) -> None:
        super().__init__()
        self.backbone, self.branch = backbone, branch
        self.flux = LayoutFlux(backbone, branch)
        self.settings, self.predicts_sample = settings, predicts_sample

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Unreduced losses: flow of every sample (B,), alignment of every instance (N,), zero where switched off."""
        aligned = self.settings.align != "none"
        noisy = flow.interpolate(inputs.clean_BLC, inputs.noise_BLC, inputs.time_B)
        output = self.predict(noisy, inputs.time_B, inputs.conditions, masks=aligned)
        if self.predicts_sample:
            weight_B = inputs.time_B.clamp_min(self.settings.time_floor) ** -2
            flow_B = (output.sample.float() - inputs.clean_BLC).square().mean((1, 2)) * weight_B
        else:
            target = flow.velocity_target(inputs.clean_BLC, inputs.noise_BLC)
            flow_B = (output.sample.float() - target).square().mean((1, 2))
        if not output.mask_logits:
            return flow_B, flow_B.new_zeros(len(inputs.mask_NL))
        align = [mask_cross_entropy(logits, inputs.mask_NL).mean(1) for logits in output.mask_logits]
        return flow_B, torch.stack(align).mean(0)

    def predict(
        self, noisy_BLC: Tensor, time_B: Tensor, conditions: Conditions, *, masks: bool = False, weights: bool = False
    ) -> LayoutFluxOutput:
        """The model's own prediction, velocity or sample."""
        prompt = conditions.prompt_BSE
        inputs = FluxInputs(
            hidden_states=noisy_BLC,
            encoder_hidden_states=prompt,
            pooled_projections=conditions.pooled_BP,
            timestep=time_B,
            guidance=conditions.guidance_B,
            img_ids=conditions.image_ids,
            txt_ids=prompt.new_zeros(prompt.shape[1], 3),
        )
        return self.flux(inputs, conditions.layout, return_masks=masks, return_weights=weights)
