"""Instance-local attention: every instance's layout token and box tokens attend to one another and to nothing else.

Legend: N instances, R rows, H heads, E channels of a head, D = H * E, T pairs, n instances of a
bucket, S its tokens, Q those that ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from occlusionformer.model.quick import computes_in_bf16, normed_and_turned, scaled_attention, turnable
from occlusionformer.tensors.packing import AttentionBucket, PackedInstances


@dataclass(frozen=True, slots=True)
class QueryKeyValue:
    """Projections of some rows, each (rows, H, E)."""

    query: Tensor
    key: Tensor
    value: Tensor


def rotation(cos_RE: Tensor, sin_RE: Tensor) -> Tensor:
    """Rotary tables, each value given twice, as one complex number per channel pair, (.., R, E / 2), fp32 or better."""
    precise = torch.promote_types(cos_RE.dtype, torch.float32)
    return torch.complex(cos_RE[..., ::2].to(precise), sin_RE[..., ::2].to(precise))


def rotate(x_RHE: Tensor, rotation_RC: Tensor) -> Tensor:
    """Rotary position embedding of neighbouring channel pairs. In fp32 or better."""
    precise = torch.promote_types(x_RHE.dtype, rotation_RC.dtype.to_real())
    pairs = x_RHE.to(precise).unflatten(-1, (-1, 2)).contiguous()
    turned = torch.view_as_complex(pairs) * rotation_RC[:, None].to(precise.to_complex())
    return torch.view_as_real(turned).flatten(-2).to(x_RHE.dtype)


def normed_and_rotated(parts: Sequence[tuple[nn.Module, Tensor]], rotation_JC: Tensor) -> Tensor:
    """Rows (R, H, E) of several parts, each normalised by its own norm, one after the other and rotated, (J, H, E)."""
    if computes_in_bf16(parts[0][1]) and all(turnable(norm) for norm, _ in parts):
        rotations = rotation_JC.split([len(x_RHE) for _, x_RHE in parts])
        turned = [normed_and_turned(*part, rotation) for part, rotation in zip(parts, rotations, strict=True)]
        return torch.cat(turned)
    return rotate(torch.cat([norm(x_RHE) for norm, x_RHE in parts]), rotation_JC)


def rotate_batch(x_BJHE: Tensor, rotation_C: Tensor) -> Tensor:
    """As rotate, of a batch; rotations are (J, E / 2), the same for all, or (B, J, E / 2)."""
    whole = rotation_C.expand(len(x_BJHE), *rotation_C.shape[-2:])
    return rotate(x_BJHE.flatten(0, 1), whole.flatten(0, 1)).unflatten(0, x_BJHE.shape[:2])


def normed_and_rotated_batch(norm: nn.Module, x_BJHE: Tensor, rotation_JC: Tensor) -> Tensor:
    """A norm of every head, then the rotation, (J, E / 2) for all of the batch or (B, J, E / 2); (B, J, H, E)."""
    if computes_in_bf16(x_BJHE) and turnable(norm):
        return normed_and_turned(norm, x_BJHE, rotation_JC)
    return rotate_batch(norm(x_BJHE), rotation_JC)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of (B, J, H, E) over (B, M, H, E), heads joined: (B, J, D).

    mask: True where attended, or added to the logits; no row of it may hide all.
    """
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    return scaled_attention(query, key, value, mask).transpose(1, 2).flatten(2)


def attend(joint: QueryKeyValue, packed: PackedInstances) -> Iterator[tuple[AttentionBucket, Tensor, Tensor]]:
    """Bucket by bucket: layout-token outputs (n, D) and pair outputs (t, D).

    `joint` has the layout tokens first, then the rows. No mask where a bucket's instances have one size, so that
    kernels without mask support remain usable.
    """
    for bucket in packed.buckets:
        query = _gathered(joint.query, bucket.query_nQ)
        key, value = _gathered(joint.key, bucket.source_nS), _gathered(joint.value, bucket.source_nS)
        mask = None if bucket.valid_nS is None else bucket.valid_nS[:, None, None, :]
        out = scaled_attention(query, key, value, mask).transpose(1, 2).flatten(2)
        yield bucket, out[:, 0], out.flatten(0, 1).index_select(0, bucket.kept_t)


def _gathered(x_JHE: Tensor, index_nS: Tensor) -> Tensor:
    """Rows by instance, heads first, (n, H, S, E)."""
    return x_JHE.index_select(0, index_nS.flatten()).unflatten(0, index_nS.shape).transpose(1, 2)
