"""Heads that begin by attending to what the prompt's objects look like at their own place.

Legend: D channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from occlusionformer.model import LayoutFluxTransformer2DModel

HEADS = 2
"""Of the first dual block."""
WAVES = (1.0, 0.7)
"""Of the fastest rotations along each axis: what is near is found by these."""
TO_TEXT, FROM_IMAGE = 0.6, -1.0
"""Along the axis in which nothing is rotated: text draws these heads, the image repels them."""


@torch.no_grad()
def attend_in_place(transformer: LayoutFluxTransformer2DModel) -> None:
    """Give the first heads of the first dual block queries and keys that tell nothing but where a token lies.

    Rotary embedding makes their product greatest for keys of the text in the query's own place. Left to itself a small
    backbone on a few thousand images averages what an object looks like before it finds which part belongs where.
    """
    attention = transformer.transformer_blocks[0].attn
    size, axes = transformer.config.attention_head_dim, transformer.config.axes_dims_rope
    place_D = _place(size, axes)
    query_D, text_D, image_D = place_D.clone(), place_D.clone(), torch.zeros(size)
    query_D[0] = text_D[0] = TO_TEXT
    image_D[0] = FROM_IMAGE
    for layer, vector_D in ((attention.to_q, query_D), (attention.add_k_proj, text_D), (attention.to_k, image_D)):
        layer.weight[: HEADS * size] = 0
        layer.bias[: HEADS * size] = vector_D.repeat(HEADS)


def _place(size: int, axes: tuple[int, int, int]) -> Tensor:
    """One of each pair that the fastest waves of rows and columns rotate, (D,)."""
    found = torch.zeros(size)
    for start in (axes[0], axes[0] + axes[1]):
        for number, strength in enumerate(WAVES):
            found[start + 2 * number] = strength
    return found
