"""The same picture drawn twice: by the package's pipeline, and by ComfyUI's sampler with the node pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import comfy.sample
import comfy.samplers
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.model import OcclusionBranch
from occlusionformer.pipelines import OcclusionFormerPipeline
from tests.comfy.comfyui import pack
from tests.comfy.tiny import comfy_model, noise, packed, texts, unpacked

PROMPT, UNWANTED = "a garden in the morning", "a blurred cat"
SIGMAS = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
GUIDANCE = 3.5


@dataclass(frozen=True)
class Pair:
    """A transformer and a branch, and ComfyUI's model of the same weights."""

    stock: FluxTransformer2DModel
    method: OcclusionBranch
    model: Any

    @classmethod
    def of(cls, stock: FluxTransformer2DModel, method: OcclusionBranch) -> Pair:
        return cls(stock, method, comfy_model(stock))

    @cached_property
    def pipeline(self) -> OcclusionFormerPipeline:
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4,) * 4, layers_per_block=1, latent_channels=16, norm_num_groups=1,
        )  # fmt: skip
        made = OcclusionFormerPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae, transformer=self.stock, branch=self.method,
            max_sequence_length=256, **texts().components,
        )  # fmt: skip
        made.set_progress_bar_config(disable=True)
        return made

    @cached_property
    def weights(self) -> Any:
        return pack("branch_patcher").BranchWeights(self.method, "tiny")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is asked of both: layouts (one for each picture), latents, guidance and steps."""

    layouts: Sequence[Layout]
    latents: Tensor
    cfg: float = 1.0
    sigmas: Tensor = SIGMAS
    grounding_ratio: float = 0.5
    strength: float = 1.0

    @classmethod
    def of(cls, *layouts: Layout, **settings: Any) -> Picture:
        height, width = layouts[0].height // 8, layouts[0].width // 8
        return cls(layouts=layouts, latents=noise(len(layouts), 16, height, width), **settings)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.latents.shape[-2:]
        return height, width


def by_package(pair: Pair, picture: Picture, **settings: Any) -> Any:
    """The pipeline's output with latents (B, C, h, w) for `images`."""
    count = len(picture.layouts)
    output = pair.pipeline(
        prompt=[PROMPT] * count,
        negative_prompt=[UNWANTED] * count if picture.cfg != 1 else None,
        true_cfg_scale=picture.cfg,
        layout=list(picture.layouts),
        latents=packed(picture.latents),
        sigmas=picture.sigmas[:-1].tolist(),
        guidance_scale=GUIDANCE,
        grounding_ratio=picture.grounding_ratio,
        strength=picture.strength,
        output_type="latent",
        **settings,
    )
    return replace(output, images=unpacked(output.images, *picture.size))


def conditioning(text: str, **values: Any) -> list[Any]:
    """A text as ComfyUI's nodes encode it."""
    clip = texts().clip
    found = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    return [[embedding, {**options, "guidance": GUIDANCE, **values}] for embedding, options in found]


def patched(pair: Pair, picture: Picture, model: Any = None, **settings: Any) -> Any:
    """The model with the picture's layouts, as the node applies them."""
    return pack("applying").apply_layout(
        pair.model if model is None else model,
        texts().clip,
        pair.weights,
        picture.layouts,
        strength=picture.strength,
        grounding_ratio=picture.grounding_ratio,
        **settings,
    )


def sampled(model: Any, picture: Picture, *, sampler: str = "euler", **values: Any) -> Tensor:
    """What ComfyUI's sampler makes of the latents, as its nodes get it; values: of the positive conditioning."""
    result: Tensor = comfy.sample.sample_custom(
        model,
        picture.latents,
        picture.cfg,
        comfy.samplers.sampler_object(sampler),
        picture.sigmas.clone(),  # uni_pc writes into them
        conditioning(PROMPT, **values),
        conditioning(UNWANTED, **values),
        torch.zeros_like(picture.latents),
        disable_pbar=True,
    )
    return result


def by_comfyui(pair: Pair, picture: Picture, model: Any = None, **values: Any) -> Tensor:
    """The same latents in the backbone's own units, as the package gives them."""
    model = patched(pair, picture) if model is None else model
    latents: Tensor = model.model.process_latent_in(sampled(model, picture, **values))
    return latents
