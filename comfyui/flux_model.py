"""What a layout method is told of ComfyUI's FLUX: its sizes, and one forward's inputs and embeddings.

Legend: B pictures, N instances, D channels, E channels of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from comfy.ldm.flux.layers import timestep_embedding
from torch import Tensor

from occlusionformer.model.config import BackboneShape
from occlusionformer.model.method import Method, StepInputs
from occlusionformer.tensors.grid import TokenGrid

LATENT_CHANNELS = 16
"""Of FLUX's autoencoder."""

LATENT_PIXELS = 8
"""Pixels a side that FLUX's autoencoder keeps in one position of the latents."""

TIME_CHANNELS = 256
"""Of the sinusoids in front of FLUX's time and guidance layers."""


PARTS = ("double_blocks", "single_blocks", "img_in", "txt_in", "time_in", "vector_in", "pe_embedder", "params")
"""Of ComfyUI's Flux that are used here."""


def backbone_shape(flux: Any) -> BackboneShape:
    """The sizes of ComfyUI's Flux that a method has to fit. ValueError for models of another make."""
    missing = [name for name in PARTS if getattr(flux, name, None) is None]
    if not missing and not hasattr(flux.double_blocks[0], "img_mod"):
        missing = ["double_blocks[0].img_mod"]
    if missing:
        raise ValueError(
            f"model: expected FLUX.1 as ComfyUI loads it, got {type(flux).__name__} without {', '.join(missing)}"
        )
    return BackboneShape(
        num_dual=len(flux.double_blocks),
        num_single=len(flux.single_blocks),
        num_heads=flux.num_heads,
        head_dim=flux.hidden_size // flux.num_heads,
        pooled_dim=flux.params.vec_in_dim,
    )


def check_fit(flux: Any, method: Method) -> None:
    """ValueError that lists every size in which method and model differ."""
    if misfits := method.misfits(backbone_shape(flux)):
        raise ValueError("\n".join(f"branch: {misfit}" for misfit in misfits))


def token_grid(flux: Any, x: Tensor) -> TokenGrid:
    """The image tokens of latents (B, C, height, width): a last odd row or column is padded to a whole token."""
    patch = flux.patch_size
    height, width = x.shape[-2:]
    return TokenGrid((height + patch // 2) // patch, (width + patch // 2) // patch)


def step_inputs(
    flux: Any, x: Tensor, timestep: Tensor, context: Tensor, extra: Mapping[str, Any], options: Mapping[str, Any]
) -> StepInputs:
    """A forward's inputs as a method reads them. extra: `y` and `guidance` of the call; options: its
    transformer_options, of which those of the rotary positions count."""
    image_BLC, image_ids = flux.process_img(x)
    pooled_BP = extra.get("y")
    if pooled_BP is None:
        pooled_BP = x.new_zeros(len(x), flux.params.vec_in_dim)
    return StepInputs(
        hidden_states=image_BLC,
        encoder_hidden_states=context,
        pooled_BP=pooled_BP[:, : flux.params.vec_in_dim],
        timestep_B=timestep,
        guidance_B=extra.get("guidance"),
        text_ids=x.new_zeros(context.shape[1], image_ids.shape[-1], dtype=torch.float32),
        image_ids=image_ids[0],
        side="cond",
        time_embedding=TimeEmbedding(flux),
        text_embedding=flux.txt_in,
        rotary=Rotary(flux, options.get("rope_options") or {}),
    )


class TimeEmbedding:
    """FLUX's embedding (N, D) of time, guidance and pooled text; a model that is not distilled drops guidance."""

    def __init__(self, flux: Any) -> None:
        self.flux = flux

    def __call__(self, timestep_N: Tensor, guidance_N: Tensor | None, pooled_NP: Tensor) -> Tensor:
        flux, dtype = self.flux, pooled_NP.dtype
        embedding_ND = flux.time_in(timestep_embedding(timestep_N, TIME_CHANNELS).to(dtype))
        if flux.params.guidance_embed and guidance_N is not None:
            embedding_ND = embedding_ND + flux.guidance_in(timestep_embedding(guidance_N, TIME_CHANNELS).to(dtype))
        summed_ND: Tensor = embedding_ND + flux.vector_in(pooled_NP)
        return summed_ND


class Rotary:
    """FLUX's position tables of token ids (N, 3) as (t, y, x): cos and sin (N, E), every value given twice.

    options: how a node has ComfyUI stretch and shift the positions of image tokens; a method's own tokens, which lie
    among them, move along.
    """

    def __init__(self, flux: Any, options: Mapping[str, float]) -> None:
        self.flux, self.options = flux, options

    def __call__(self, ids_N3: Tensor) -> tuple[Tensor, Tensor]:
        ids_N3 = ids_N3.float()
        if self.options:
            scale = ids_N3.new_tensor([1.0, self.options.get("scale_y", 1.0), self.options.get("scale_x", 1.0)])
            shift = ids_N3.new_tensor([self.options.get(f"shift_{axis}", 0.0) for axis in "tyx"])
            ids_N3 = ids_N3 * scale + shift
        return cos_and_sin(self.flux.pe_embedder(ids_N3[None])[0, 0])


def cos_and_sin(table: Tensor) -> tuple[Tensor, Tensor]:
    """ComfyUI's rotation matrices (.., E / 2, 2, 2) as cos and sin (.., E), every value given twice."""
    return table[..., 0, 0].repeat_interleave(2, -1), table[..., 1, 0].repeat_interleave(2, -1)
