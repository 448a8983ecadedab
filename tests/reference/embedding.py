"""The vectors that condition the branch: layout tokens, and the time embeddings of the branch and of each instance."""

import torch
from torch import Tensor, nn

from tests.reference.regions import Box, box_features
from tests.reference.weights import Weights, affine


def layout_token(weights: Weights, text_P: Tensor, box: Box) -> Tensor:
    """MLP([MLP(pooled text); box features]), both with SiLU. (D,)"""
    silu = torch.nn.functional.silu
    text_D = affine(weights.layout, "layout_net.text_embedder.linear_1", text_P)
    text_D = affine(weights.layout, "layout_net.text_embedder.linear_2", silu(text_D))
    joined = torch.cat([text_D, box_features(box).to(text_D)])
    hidden = silu(affine(weights.layout, "layout_net.linears.linear_1", joined))
    return affine(weights.layout, "layout_net.linears.linear_2", hidden)


def time_embedding(transformer: nn.Module, timestep: Tensor, guidance: float | None, text_P: Tensor) -> Tensor:
    """The backbone's embedding of time (0..1), guidance (if it has that) and pooled text. (D,)"""
    time_1 = timestep.to(text_P).reshape(1) * 1000
    if guidance is None or not transformer.config.guidance_embeds:
        return transformer.time_text_embed(time_1, text_P[None])[0]
    return transformer.time_text_embed(time_1, torch.full_like(time_1, guidance) * 1000, text_P[None])[0]
