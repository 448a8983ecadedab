"""Parts of attention as a CPU computes them fastest in bf16, where torch's own kernels take two to five times as long.

The results are the same but for the rounding of bf16. Everything else - other devices, other number formats, numbers
that are bf16 themselves and want no gradients - is left to torch's kernels.

Legend: J rows, H heads, E channels of a head, C = E / 2 channel pairs, S tokens, Q those that ask.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

MOST_TOKENS = 2048
"""Attention weights are kept for the gradients, (Q, S) for every head: above this torch's kernel, which keeps none."""


def trains_in_bf16(x: Tensor) -> bool:
    """Whether this is training in bf16 on a CPU, by autocast or by the numbers' own format."""
    return torch.is_grad_enabled() and (_autocast_to_bf16(x) or (_is_bf16(x) and not torch.is_autocast_enabled("cpu")))


def computes_in_bf16(x: Tensor) -> bool:
    """Whether a CPU computes in bf16: by autocast, or by the numbers' own format while training."""
    return _autocast_to_bf16(x) or trains_in_bf16(x)


def _autocast_to_bf16(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def _is_bf16(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.bfloat16


def scaled_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of (n, H, Q, E) over (n, H, S, E).

    mask: broadcast to (n, H, Q, S), True where attended, or added to the logits; no row of it may hide all.
    """
    if key.shape[-2] > MOST_TOKENS or not computes_in_bf16(value):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    logits = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    if mask is not None:
        masked = mask.dtype == torch.bool
        logits = logits.masked_fill_(~mask, -torch.inf) if masked else logits.add_(mask.to(logits.dtype))
    return torch.matmul(logits.softmax(-1), value)


class NormedRotation(Function):
    """RMS norm with a gain, then rotary position embedding: in float32, from and to bf16."""

    @staticmethod
    def forward(ctx: Any, x_JHE: Tensor, gain_E: Tensor, rotation_C: Tensor, eps: float) -> Tensor:
        precise = _precise(x_JHE)
        square_JH1 = torch.linalg.vector_norm(precise, dim=-1, keepdim=True).square_()
        root_JH1 = square_JH1.div_(x_JHE.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x_JHE, gain_E, rotation_C, root_JH1)
        normed_JHE = precise.mul_(root_JH1).mul_(gain_E)
        return _turned(normed_JHE, rotation_C).to(x_JHE.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_JHE: Tensor) -> tuple[Tensor | None, ...]:
        x_JHE, gain_E, rotation_C, root_JH1 = ctx.saved_tensors
        unit_JHE = x_JHE * root_JH1
        back_JHE = _turned(_precise(gradient_JHE), rotation_C.conj().resolve_conj())
        of_gain_JHE = back_JHE * unit_JHE
        with torch.autocast("cpu", enabled=False):
            along_JH1 = torch.matmul(of_gain_JHE, gain_E.float()).div_(x_JHE.shape[-1])[..., None]
        of_x_JHE = back_JHE.mul_(gain_E).sub_(unit_JHE.mul_(along_JH1)).mul_(root_JH1)
        return of_x_JHE.to(x_JHE.dtype), of_gain_JHE.flatten(0, -2).sum(0), None, None


def _precise(x: Tensor) -> Tensor:
    """A copy in float32, the last dimension together in memory."""
    return x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _turned(x_JHE: Tensor, rotation_C: Tensor) -> Tensor:
    """Neighbouring channel pairs of float32 numbers, which are overwritten, turned."""
    pairs = torch.view_as_complex(x_JHE.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs.mul_(rotation_C)).flatten(-2)


def turnable(norm: nn.Module) -> bool:
    """Whether normed_and_turned knows what a norm does."""
    return type(norm) is nn.RMSNorm and norm.weight is not None and norm.weight.ndim == 1 and not norm._forward_hooks


def normed_and_turned(norm: nn.Module, x_JHE: Tensor, rotation_JC: Tensor) -> Tensor:
    """RMS norm of every head, then rotary position embedding by complex numbers (J, E / 2); (.., J, H, E).

    Those of a batch, (B, J, E / 2), turn every sample by its own.
    """
    assert isinstance(norm, nn.RMSNorm)
    eps = torch.finfo(torch.float32).eps if norm.eps is None else norm.eps
    turned: Tensor = NormedRotation.apply(x_JHE, norm.weight, rotation_JC.unsqueeze(-2), eps)
    return turned
