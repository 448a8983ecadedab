"""What is minimised: rectified flow, and the queried alignment of predicted masks.

Legend: B samples, L tokens, C channels of a token, N instances, S text tokens, E text width, P pooled width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from occlusionformer.model import LayoutFluxTransformer2DModel, LayoutReport, Method, PreparedLayouts
from occlusionformer.tensors import flow
from occlusionformer.tensors.alignment import mask_cross_entropy
from occlusionformer.training.config import ObjectiveConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """Texts and layouts of a batch, encoded."""

    prompt_BSE: Tensor
    pooled_BP: Tensor
    layout: PreparedLayouts
    image_ids: Tensor
    guidance_B: Tensor | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """A part of a batch, encoded and on the device."""

    clean_BLC: Tensor
    noise_BLC: Tensor
    time_B: Tensor
    mask_NL: Tensor
    seen_NL: Tensor
    sample_N: Tensor
    conditions: Conditions


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The velocity (B, L, C), and what was asked for beside it: mask logits (N, L, 2), weights (N, L) by block."""

    velocity_BLC: Tensor
    mask_logits: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]


class Objective(nn.Module):
    """Backbone and branch with their loss, so that processes that share gradients see one forward."""

    def __init__(self, backbone: LayoutFluxTransformer2DModel, branch: Method, settings: ObjectiveConfig) -> None:
        super().__init__()
        self.backbone, self.branch, self.settings = backbone, branch, settings

    @property
    def predicts_sample(self) -> bool:
        """Whether the weights predict the clean picture, which the transformer turns into a velocity."""
        return bool(self.backbone.config.prediction_type == "sample")

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Unreduced losses: flow of every sample (B,), alignment of every instance (N,), zero where switched off."""
        aligned = self.settings.align != "none"
        noisy = flow.interpolate(inputs.clean_BLC, inputs.noise_BLC, inputs.time_B)
        output = self.predict(noisy, inputs.time_B, inputs.conditions, masks=aligned)
        target = flow.velocity_target(inputs.clean_BLC, inputs.noise_BLC)
        error_BL = (output.velocity_BLC.float() - target).square().mean(2)
        if self.settings.hidden_weight:
            error_BL = error_BL * token_weights(inputs, self.settings.hidden_weight)
        flow_B = error_BL.mean(1)
        if self.predicts_sample:
            # An error of the picture is t times one of the velocity; below the floor it weighs no more than there.
            flow_B = flow_B * (inputs.time_B / inputs.time_B.clamp_min(self.settings.time_floor)) ** 2
        if not output.mask_logits:
            return flow_B, flow_B.new_zeros(len(inputs.mask_NL))
        align = [mask_cross_entropy(logits, inputs.mask_NL).mean(1) for logits in output.mask_logits]
        return flow_B, torch.stack(align).mean(0)

    def predict(
        self, noisy_BLC: Tensor, time_B: Tensor, conditions: Conditions, *, masks: bool = False, weights: bool = False
    ) -> Prediction:
        """One forward of the model."""
        prompt = conditions.prompt_BSE
        layout = replace(
            conditions.layout, method=self.branch, want_masks=masks, want_weights=weights, report=LayoutReport()
        )
        velocity_BLC = self.backbone(
            hidden_states=noisy_BLC,
            encoder_hidden_states=prompt,
            pooled_projections=conditions.pooled_BP,
            timestep=time_B,
            guidance=conditions.guidance_B,
            img_ids=conditions.image_ids,
            txt_ids=prompt.new_zeros(prompt.shape[1], 3),
            joint_attention_kwargs={"layout": layout},
            return_dict=False,
        )[0]
        return Prediction(
            velocity_BLC=velocity_BLC, mask_logits=layout.report.mask_logits, weights=layout.report.weights
        )


def token_weights(inputs: Inputs, hidden: float) -> Tensor:
    """One for every token, and `hidden` tokens' worth for every object over what is seen of it; mean 1, (B, L)."""
    share_NL = inputs.seen_NL / inputs.seen_NL.sum(1, keepdim=True).clamp_min(1.0)
    weight_BL = torch.ones(inputs.clean_BLC.shape[:2], dtype=share_NL.dtype, device=share_NL.device)
    weight_BL = weight_BL.index_add(0, inputs.sample_N, hidden * share_NL)
    return weight_BL / weight_BL.mean(1, keepdim=True)
