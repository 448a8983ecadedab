"""Queried alignment: how alike each layer's tokens are to its instance's query, and the loss that ties them to a mask.

Legend: T (instance, pixel) pairs, N instances, L tokens of one image, D channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from occlusionformer.tensors.packing import PackedInstances


def query_cosine(layers_tD: Tensor, query_ND: Tensor, packed: PackedInstances, *, pairs: slice, eps: float) -> Tensor:
    """Cosine of some pairs' layer tokens with their instance's query, times coverage, (t,) in fp32 or better.

    eps bounds both norms from below: layers start at exactly zero, where a tiny one makes the gradient explode.
    """
    precise = torch.promote_types(layers_tD.dtype, torch.float32)
    layers_tD = layers_tD.to(precise)
    query_ND = F.normalize(query_ND.to(precise), dim=-1, eps=eps)
    norm_t: Tensor = torch.linalg.vector_norm(layers_tD, dim=-1).clamp_min(eps)
    dot_t: Tensor = (layers_tD * query_ND.index_select(0, packed.owner_T[pairs])).sum(-1)
    return dot_t / norm_t * packed.coverage_T[pairs].to(precise)


def instance_maps(values_T: Tensor, packed: PackedInstances) -> Tensor:
    """One value per pair spread over each instance's own image, (N, 1, h, w); 0 outside."""
    tokens = packed.grid.num_tokens
    slot_T = packed.owner_T * tokens + packed.pixel_T % tokens
    flat = values_T.new_zeros(packed.num_instances * tokens).index_add(0, slot_T, values_T)
    return flat.reshape(packed.num_instances, 1, packed.grid.height, packed.grid.width)


def query_similarity(layers_TD: Tensor, query_ND: Tensor, packed: PackedInstances, *, eps: float) -> Tensor:
    """The similarity maps S_i of the queried alignment, (N, 1, h, w)."""
    every = slice(0, len(layers_TD))
    return instance_maps(query_cosine(layers_TD, query_ND, packed, pairs=every, eps=eps), packed)


def mask_cross_entropy(logits_NL2: Tensor, mask_NL: Tensor) -> Tensor:
    """Cross-entropy of (background, foreground) logits with a mask in 0..1, unreduced, (N, L)."""
    log_p = F.log_softmax(logits_NL2.to(torch.promote_types(logits_NL2.dtype, torch.float32)), dim=-1)
    return -(1 - mask_NL) * log_p[..., 0] - mask_NL * log_p[..., 1]
