"""The only file that knows the layer names and block signatures of diffusers' Flux transformer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.utils.peft_utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor, nn

from occlusionformer.model.config import BackboneShape

DUAL_PATHS = {
    "modulation": "norm1.linear",
    "context_modulation": "norm1_context.linear",
    "q": "attn.to_q",
    "k": "attn.to_k",
    "v": "attn.to_v",
    "context_q": "attn.add_q_proj",
    "context_k": "attn.add_k_proj",
    "context_v": "attn.add_v_proj",
    "out": "attn.to_out.0",
    "context_out": "attn.to_add_out",
    "ff_out": "ff.net.2",
    "context_ff_out": "ff_context.net.2",
}
"""Layers of a dual-stream block that carry a delta in the branch, by our name and by diffusers'."""

SINGLE_PATHS = {
    "modulation": "norm.linear",
    "mlp": "proj_mlp",
    "q": "attn.to_q",
    "k": "attn.to_k",
    "v": "attn.to_v",
    "out": "proj_out",
}


@dataclass(frozen=True, slots=True)
class DualLayers:
    """Layers lent by a dual-stream block: image stream, and text stream under `context`."""

    norm: nn.Module
    modulation: nn.Module
    context_norm: nn.Module
    context_modulation: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    context_q: nn.Module
    context_k: nn.Module
    context_v: nn.Module
    norm_q: nn.Module
    norm_k: nn.Module
    context_norm_q: nn.Module
    context_norm_k: nn.Module
    out: nn.Module
    context_out: nn.Module
    ff_norm: nn.Module
    ff_in: nn.Module
    ff_out: nn.Module
    context_ff_norm: nn.Module
    context_ff_in: nn.Module
    context_ff_out: nn.Module


@dataclass(frozen=True, slots=True)
class SingleLayers:
    """Layers lent by a single-stream block."""

    norm: nn.Module
    modulation: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    norm_q: nn.Module
    norm_k: nn.Module
    mlp: nn.Module
    mlp_act: nn.Module
    out: nn.Module


def dual_layers(block: Any) -> DualLayers:
    attn, ff, context_ff = block.attn, block.ff.net, block.ff_context.net
    return DualLayers(
        norm=block.norm1.norm, modulation=block.norm1.linear,
        context_norm=block.norm1_context.norm, context_modulation=block.norm1_context.linear,
        q=attn.to_q, k=attn.to_k, v=attn.to_v,
        context_q=attn.add_q_proj, context_k=attn.add_k_proj, context_v=attn.add_v_proj,
        norm_q=attn.norm_q, norm_k=attn.norm_k,
        context_norm_q=attn.norm_added_q, context_norm_k=attn.norm_added_k,
        out=attn.to_out[0], context_out=attn.to_add_out,
        ff_norm=block.norm2, ff_in=ff[0], ff_out=ff[2],
        context_ff_norm=block.norm2_context, context_ff_in=context_ff[0], context_ff_out=context_ff[2],
    )  # fmt: skip


def single_layers(block: Any) -> SingleLayers:
    attn = block.attn
    return SingleLayers(
        norm=block.norm.norm, modulation=block.norm.linear, q=attn.to_q, k=attn.to_k, v=attn.to_v,
        norm_q=attn.norm_q, norm_k=attn.norm_k, mlp=block.proj_mlp, mlp_act=block.act_mlp, out=block.proj_out,
    )  # fmt: skip


def new_backbone(config: dict[str, Any]) -> FluxTransformer2DModel:
    """A stock transformer with fresh weights."""
    return FluxTransformer2DModel(**config)


def backbone_shape(backbone: FluxTransformer2DModel) -> BackboneShape:
    """The sizes a branch has to fit."""
    config = backbone.config
    return BackboneShape(
        num_dual=config.num_layers,
        num_single=config.num_single_layers,
        num_heads=config.num_attention_heads,
        head_dim=config.attention_head_dim,
        pooled_dim=config.pooled_projection_dim,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FluxInputs:
    """The arguments of the backbone's own forward, under its own names; timestep 0..1, ids (tokens, 3)."""

    hidden_states: Tensor
    encoder_hidden_states: Tensor
    pooled_projections: Tensor
    timestep: Tensor
    img_ids: Tensor
    txt_ids: Tensor
    guidance: Tensor | None = None
    joint_attention_kwargs: dict[str, Any] | None = None
    controlnet_block_samples: tuple[Tensor, ...] | None = None
    controlnet_single_block_samples: tuple[Tensor, ...] | None = None


def run_backbone(backbone: FluxTransformer2DModel, inputs: FluxInputs) -> Tensor:
    """The stock forward."""
    arguments = {name: getattr(inputs, name) for name in inputs.__slots__}
    if arguments["joint_attention_kwargs"] is not None:
        arguments["joint_attention_kwargs"] = dict(arguments["joint_attention_kwargs"])
    return backbone(**arguments, return_dict=False)[0]


def time_embedding(
    backbone: FluxTransformer2DModel, timestep: Tensor, guidance: Tensor | None, pooled: Tensor
) -> Tensor:
    """Embedding of time, guidance (dropped by a backbone without it) and pooled text; times 1000 in pooled's dtype."""
    timestep = timestep.to(pooled.dtype) * 1000
    if guidance is None or not backbone.config.guidance_embeds:
        return backbone.time_text_embed(timestep, pooled)
    return backbone.time_text_embed(timestep, guidance.to(pooled.dtype) * 1000, pooled)


@contextmanager
def lora_scaled(backbone: FluxTransformer2DModel, joint_attention_kwargs: dict[str, Any] | None) -> Iterator[dict]:
    """Weigh the user's own LoRAs on the backbone by the `scale` entry, as the stock forward does; yields the rest."""
    rest = dict(joint_attention_kwargs or {})
    scale = rest.pop("scale", 1.0)
    if scale == 1.0:
        yield rest
        return
    scale_lora_layers(backbone, scale)
    try:
        yield rest
    finally:
        unscale_lora_layers(backbone, scale)


def call_block(block: nn.Module, text: Tensor, image: Tensor, temb: Tensor, rotary: Any, extra: dict) -> Any:
    """Run one stock block of either kind; returns (text, image)."""
    return block(
        hidden_states=image,
        encoder_hidden_states=text,
        temb=temb,
        image_rotary_emb=rotary,
        joint_attention_kwargs=extra,
    )


def onload(module: nn.Module) -> None:
    """Let accelerate bring an offloaded model in, as diffusers does for methods other than forward."""
    hook = getattr(module, "_hf_hook", None)
    if hook is not None:
        hook.pre_forward(module)


def control_residual(samples: tuple[Tensor, ...] | None, index: int, num_blocks: int) -> Tensor | None:
    """The ControlNet residual that belongs after a block, spread evenly over the blocks."""
    if samples is None:
        return None
    return samples[index // -(-num_blocks // len(samples))]


def as_ids(ids: Tensor) -> Tensor:
    """Position ids without the deprecated batch dimension."""
    return ids[0] if ids.ndim == 3 else ids


def rotary_tables(backbone: FluxTransformer2DModel, ids: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin, each (positions, head_dim); positions need not be whole numbers."""
    return backbone.pos_embed(ids.to(torch.float32))
