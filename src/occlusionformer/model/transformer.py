"""The loop: a stock backbone's blocks, each followed by the adapter where it acts. Without a layout, the backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from occlusionformer.model.adapter import AdapterState, LayoutAdapter, LayoutCondition, StepInputs
from occlusionformer.model.backbone import (
    FluxInputs,
    FluxTransformer2DModel,
    as_ids,
    call_block,
    control_residual,
    dual_layers,
    lora_scaled,
    onload,
    rotary_tables,
    run_backbone,
    single_layers,
    time_embedding,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutFluxOutput:
    """sample: the prediction (B, L, channels); one mask_logits (N, L, 2) and weights (N, L) per layout block."""

    sample: Tensor
    mask_logits: tuple[Tensor, ...] | None = None
    weights: tuple[Tensor, ...] | None = None


class LayoutFlux(nn.Module):
    """A backbone and a layout adapter, called together; owns neither and changes neither."""

    def __init__(self, backbone: FluxTransformer2DModel, adapter: LayoutAdapter) -> None:
        super().__init__()
        self.backbone = backbone
        self.adapter = adapter

    def forward(
        self,
        inputs: FluxInputs,
        layout: LayoutCondition | None,
        *,
        strength: float = 1.0,
        return_masks: bool = False,
        return_weights: bool = False,
    ) -> LayoutFluxOutput:
        """layout None, a layout without instances, or strength 0 is the stock forward, bit for bit."""
        if layout is None or strength == 0 or layout.packed.num_instances == 0:
            return LayoutFluxOutput(sample=run_backbone(self.backbone, inputs))
        onload(self.backbone)
        if isinstance(self.adapter, nn.Module):
            onload(self.adapter)
        with lora_scaled(self.backbone, inputs.joint_attention_kwargs) as extra:
            image, state = self._run(inputs, layout, extra, (strength, return_masks, return_weights))
        return LayoutFluxOutput(
            sample=image,
            mask_logits=state.mask_logits if return_masks else None,
            weights=state.weights if return_weights else None,
        )

    def _run(
        self, inputs: FluxInputs, layout: LayoutCondition, extra: dict, options: tuple[float, bool, bool]
    ) -> tuple[Tensor, AdapterState]:
        backbone, adapter = self.backbone, self.adapter
        image = backbone.x_embedder(inputs.hidden_states)
        pooled = inputs.pooled_projections
        time = time_embedding(backbone, inputs.timestep, inputs.guidance, pooled)
        text = backbone.context_embedder(inputs.encoder_hidden_states)
        text_ids, image_ids = as_ids(inputs.txt_ids), as_ids(inputs.img_ids)
        rotary = rotary_tables(backbone, torch.cat([text_ids, image_ids]))
        if "ip_adapter_image_embeds" in extra:
            extra["ip_hidden_states"] = backbone.encoder_hid_proj(extra.pop("ip_adapter_image_embeds"))
        strength, return_masks, return_weights = options
        state = adapter.begin(
            StepInputs(
                condition=layout,
                timestep_B=inputs.timestep,
                guidance_B=inputs.guidance,
                pooled_BP=pooled,
                image_rotary=(rotary[0][len(text_ids) :], rotary[1][len(text_ids) :]),
                embed=lambda t, g, y: time_embedding(backbone, t, g, y),
                rotary=lambda ids: rotary_tables(backbone, ids),
                strength=strength,
                return_masks=return_masks,
                return_weights=return_weights,
            )
        )
        for index, block in enumerate(backbone.transformer_blocks):
            text, image = self._call(call_block, block, text, image, time, rotary, extra)
            if adapter.acts_after_dual(index):
                image, state = self._call(adapter.after_dual, index, dual_layers(block), image, state)
            image = _controlled(image, inputs.controlnet_block_samples, index, len(backbone.transformer_blocks))
        for index, block in enumerate(backbone.single_transformer_blocks):
            text, image = self._call(call_block, block, text, image, time, rotary, extra)
            if adapter.acts_after_single(index):
                image, state = self._call(adapter.after_single, index, single_layers(block), image, state)
            image = _controlled(
                image, inputs.controlnet_single_block_samples, index, len(backbone.single_transformer_blocks)
            )
        return backbone.proj_out(backbone.norm_out(image, time)), state

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if torch.is_grad_enabled() and self.backbone.gradient_checkpointing:
            return checkpoint(function, *arguments, use_reentrant=False)
        return function(*arguments)


def _controlled(image: Tensor, samples: tuple[Tensor, ...] | None, index: int, num_blocks: int) -> Tensor:
    residual = control_residual(samples, index, num_blocks)
    return image if residual is None else image + residual
