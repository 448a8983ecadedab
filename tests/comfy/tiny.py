"""The same tiny random FLUX twice: as components of diffusers, and as ComfyUI loads it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.utils
import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.model import BackboneShape, BranchConfig, OcclusionBranch
from tests.comfy.comfyui import ROOT

WIDTH, TEXT_WIDTH = 32, 24


def randomise(module: nn.Module, seed: int, scale: float = 1.0) -> None:
    """Random values of ordinary size for every parameter, gains around 1 included, so that no part is idle."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            fan_in = parameter.shape[1:].numel() if parameter.dim() > 1 else 16
            is_gain = "norm" in name and parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(scale * noise / fan_in**0.5 + float(is_gain))


def transformer(*, guidance: bool = True, **changes: Any) -> FluxTransformer2DModel:
    """FLUX's transformer, 2 dual and 2 single blocks."""
    settings = {
        "in_channels": 64, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": WIDTH // 2,
        "num_attention_heads": 2, "joint_attention_dim": TEXT_WIDTH, "pooled_projection_dim": TEXT_WIDTH,
        "guidance_embeds": guidance, "axes_dims_rope": (4, 6, 6),
    }  # fmt: skip
    model = FluxTransformer2DModel(**{**settings, **changes})
    randomise(model, 0)
    return model.requires_grad_(False).eval()


def comfy_config(stock: FluxTransformer2DModel, **changes: Any) -> dict[str, Any]:
    """ComfyUI's arguments for a transformer of these sizes."""
    config = stock.config
    return {
        "image_model": "flux", "in_channels": config.in_channels // 4, "out_channels": config.in_channels // 4,
        "patch_size": 2, "vec_in_dim": config.pooled_projection_dim, "context_in_dim": config.joint_attention_dim,
        "hidden_size": config.num_attention_heads * config.attention_head_dim, "mlp_ratio": 4.0,
        "num_heads": config.num_attention_heads, "depth": config.num_layers,
        "depth_single_blocks": config.num_single_layers, "axes_dim": list(config.axes_dims_rope), "theta": 10000,
        "qkv_bias": True, "guidance_embed": config.guidance_embeds, **changes,
    }  # fmt: skip


def comfy_weights(stock: FluxTransformer2DModel, config: dict[str, Any]) -> dict[str, Tensor]:
    """A transformer's weights under ComfyUI's names, by the table with which it reads LoRAs of diffusers."""
    parts: dict[str, list[tuple[int, Tensor]]] = {}
    weights = stock.state_dict()
    for theirs, ours in comfy.utils.flux_to_diffusers(config).items():
        if theirs not in weights:
            continue
        value = weights.pop(theirs)
        if isinstance(ours, str):
            parts[ours] = [(0, value)]
        elif len(ours) == 2:
            parts.setdefault(ours[0], []).append((ours[1][1], value))
        else:  # shift and scale of the last layer stand the other way round
            parts[ours[0]] = [(0, ours[2](value))]
    assert not weights, f"no name for {sorted(weights)}"
    return {
        name: torch.cat([part for _, part in sorted(found, key=lambda each: each[0])]) for name, found in parts.items()
    }


def comfy_model(
    stock: FluxTransformer2DModel, *, dtype: torch.dtype = torch.float32, computes: torch.dtype | None = None
) -> Any:
    """A patcher of ComfyUI's own FLUX with the same weights. computes: where weights are stored in another format."""
    config = comfy_config(stock)
    supported = comfy.supported_models.Flux(dict(config, guidance_embed=True))
    supported.unet_config = {**config, "dtype": dtype}
    supported.set_inference_dtype(dtype, computes)
    model = supported.get_model({})
    model.diffusion_model.load_state_dict(comfy_weights(stock, config))
    model.diffusion_model.to(dtype).eval()
    return comfy.model_patcher.ModelPatcher(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def branch(config: BranchConfig, seed: int = 1) -> OcclusionBranch:
    """A branch whose every weight is random."""
    made = OcclusionBranch.build(config)
    randomise(made, seed)
    return made.requires_grad_(False).eval()


@dataclass(frozen=True)
class Texts:
    """The same tiny text encoders twice; tokenizers are the real ones."""

    clip: Any
    components: dict[str, Any]


@cache
def texts() -> Texts:
    """CLIP-L and T5 of two layers, of the width of the tiny transformer."""
    small = {"hidden_size": TEXT_WIDTH, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 2}
    t5_sizes = {"d_model": TEXT_WIDTH, "d_ff": 48, "d_kv": 12, "num_heads": 2, "num_layers": 2}
    clip_l = CLIPTextModel(CLIPTextConfig(**small, eos_token_id=49407, bos_token_id=49406, projection_dim=TEXT_WIDTH))
    t5 = T5EncoderModel(T5Config(**t5_sizes, vocab_size=32128, feed_forward_proj="gated-gelu"))
    for seed, encoder in enumerate((clip_l, t5)):
        randomise(encoder, 10 + seed)
        encoder.requires_grad_(False).eval()
    target = comfy.supported_models.Flux({}).clip_target()
    options = {"clip_l_model_config": small, "t5xxl_model_config": t5_sizes, "dtype": torch.float32}
    clip = comfy.sd.CLIP(target, parameters=1, model_options=options)
    stage = clip.cond_stage_model
    named = {
        name if name.startswith("text_model.") else f"text_model.{name}": value
        for name, value in clip_l.state_dict().items()
    }
    missing, _ = stage.clip_l.transformer.load_state_dict(named, strict=False)
    assert set(missing) <= {"text_projection.weight"}, missing
    missing, _ = stage.t5xxl.transformer.load_state_dict(t5.state_dict(), strict=False)
    assert not missing, missing
    stage.requires_grad_(False)
    return Texts(
        clip,
        {
            "text_encoder": clip_l,
            "tokenizer": CLIPTokenizer.from_pretrained(ROOT / "comfy" / "sd1_tokenizer", model_max_length=77),
            "text_encoder_2": t5,
            "tokenizer_2": T5TokenizerFast.from_pretrained(ROOT / "comfy" / "text_encoders" / "t5_tokenizer"),
        },
    )


def scene(front: str = "cat", *, width: int = 96, height: int = 64, third: bool = False) -> Layout:
    """A cat and a dog that overlap, off the token edges; with a vase before both for `third`."""
    behind = {"cat": "dog", "dog": "cat"}[front]
    instances = [
        Instance(id="cat", caption="a red cat (asleep)", box=Box(0.03, 0.05, 0.62, 0.71)),
        Instance(id="dog", caption="a blue dog", category="dog", box=Box(0.31, 0.27, 0.93, 0.96)),
    ]
    order = [front, behind]
    if third:
        instances.append(Instance(id="vase", caption="a vase", box=Box(0.22, 0.4, 0.55, 0.9), opacity=0.7))
        order.insert(0, "vase")
    return Layout(
        prompt="a garden", width=width, height=height, instances=tuple(instances),
        order=FrontToBack(front_to_back=tuple(order)),
    )  # fmt: skip


def packed(latents: Tensor) -> Tensor:
    """Latents (B, C, h, w) as FLUX's tokens (B, L, 4 C)."""
    batch, channels, height, width = latents.shape
    cells = latents.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(batch, height * width // 4, 4 * channels)


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens as latents (B, C, height, width)."""
    batch, _, size = tokens.shape
    cells = tokens.view(batch, height // 2, width // 2, size // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return cells.reshape(batch, size // 4, height, width)


def shape_of(stock: FluxTransformer2DModel) -> BackboneShape:
    config = stock.config
    return BackboneShape(
        num_dual=config.num_layers, num_single=config.num_single_layers, num_heads=config.num_attention_heads,
        head_dim=config.attention_head_dim, pooled_dim=config.pooled_projection_dim,
    )  # fmt: skip


def noise(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def greatest(difference: Tensor) -> float:
    value = float(difference.abs().max())
    assert math.isfinite(value)
    return value
