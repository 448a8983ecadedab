"""Queried alignment: how alike each layer's tokens are to its instance's query, and the loss that ties them to a mask.

Legend: T (instance, pixel) pairs, N instances, L tokens of one image, D channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from occlusionformer.tensors.packing import PackedInstances


def query_similarity(layers_TD: Tensor, query_ND: Tensor, packed: PackedInstances, *, eps: float) -> Tensor:
    """Cosine of every layer token with its instance's query times its coverage, as maps (N, 1, h, w); 0 outside.

    eps bounds both norms from below: layers start at exactly zero, where a tiny one makes the gradient explode.
    """
    precise = torch.promote_types(layers_TD.dtype, torch.float32)
    layers_TD = layers_TD.to(precise)
    query_ND = F.normalize(query_ND.to(precise), dim=-1, eps=eps)
    norm_T = torch.linalg.vector_norm(layers_TD, dim=-1).clamp_min(eps)
    cosine_T = (layers_TD * query_ND[packed.owner_T]).sum(-1) / norm_T * packed.coverage_T.to(precise)
    tokens = packed.grid.num_tokens
    slot_T = packed.owner_T * tokens + packed.pixel_T % tokens
    flat = cosine_T.new_zeros(packed.num_instances * tokens).index_add(0, slot_T, cosine_T)
    return flat.reshape(packed.num_instances, 1, packed.grid.height, packed.grid.width)


def mask_cross_entropy(logits_NL2: Tensor, mask_NL: Tensor) -> Tensor:
    """Cross-entropy of (background, foreground) logits with a mask in 0..1, unreduced, (N, L)."""
    log_p = F.log_softmax(logits_NL2.float(), dim=-1)
    return -(1 - mask_NL) * log_p[..., 0] - mask_NL * log_p[..., 1]
