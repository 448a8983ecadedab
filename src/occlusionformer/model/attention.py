"""Instance-local attention: every instance's layout token and box tokens attend to one another and to nothing else.

Legend: N instances, R rows, H heads, E channels of a head, D = H * E, T pairs, n instances of a bucket, S its tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from occlusionformer.tensors.packing import AttentionBucket, PackedInstances

Rotary = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class QueryKeyValue:
    """Projections of some rows, each (rows, H, E)."""

    query: Tensor
    key: Tensor
    value: Tensor


def rotate(x_RHE: Tensor, rotary: Rotary) -> Tensor:
    """Rotary position embedding of neighbouring channel pairs; cos and sin are (R, E). In fp32 or better."""
    precise = torch.promote_types(x_RHE.dtype, torch.float32)
    x = x_RHE.to(precise)
    cos, sin = (table[:, None, :].to(precise) for table in rotary)
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-odd, even], -1).flatten(-2)
    return torch.addcmul(x * cos, turned, sin).to(x_RHE.dtype)


def attend(
    layout: QueryKeyValue, rows: QueryKeyValue, packed: PackedInstances
) -> Iterator[tuple[AttentionBucket, Tensor, Tensor]]:
    """Bucket by bucket: layout-token outputs (n, D) and pair outputs (t, D).

    No mask where a bucket's instances have one size, so that kernels without mask support remain usable.
    """
    query, key, value = (torch.cat([getattr(layout, part), getattr(rows, part)]) for part in ("query", "key", "value"))
    for bucket in packed.buckets:
        source, shape = bucket.source_nS.flatten(), bucket.source_nS.shape
        q, k, v = (part.index_select(0, source).unflatten(0, shape).transpose(1, 2) for part in (query, key, value))
        mask = None if bucket.valid_nS is None else bucket.valid_nS[:, None, None, :]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        pairs = out[:, 1:].flatten(0, 1)
        yield bucket, out[:, 0], pairs if bucket.kept_t is None else pairs[bucket.kept_t]
