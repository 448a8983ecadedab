"""Low-rank deltas on borrowed layers: the branch owns the delta, the backbone keeps the layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRankDelta(nn.Module):
    """base(x) + scale * up(down(x)); the base layer is lent with every call and never changed."""

    def __init__(self, in_features: int, out_features: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, base: nn.Module, x: Tensor) -> Tensor:
        return self.onto(base(x), x)

    def onto(self, result: Tensor, x: Tensor) -> Tensor:
        """Add the delta of `x` to a result computed elsewhere."""
        return result + self.up(self.down(x)) * self.scale

    def weight(self) -> Tensor:
        """The delta as a dense (out, in) matrix."""
        return self.up.weight @ self.down.weight * self.scale

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class NoDelta(nn.Module):
    """A borrowed layer used as it is."""

    def forward(self, base: nn.Module, x: Tensor) -> Tensor:
        return base(x)

    def onto(self, result: Tensor, x: Tensor) -> Tensor:
        return result

    def weight(self) -> Tensor:
        return torch.zeros(())


def delta(in_features: int, out_features: int, rank: int, scale: float) -> LowRankDelta | NoDelta:
    return LowRankDelta(in_features, out_features, rank, scale) if rank else NoDelta()


def dense(base: nn.Module, in_features: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (out, in) and bias of a borrowed linear layer.

    A quantised, offloaded or wrapped layer is asked through its own forward, one identity matrix wide, so that
    its hooks run and its storage format does not matter.
    """
    if type(base) is nn.Linear and not hasattr(base, "_hf_hook") and base.weight.dtype == like.dtype:
        bias = base.bias if base.bias is not None else like.new_zeros(base.out_features)
        return base.weight, bias
    bias = base(like.new_zeros(1, in_features))[0]
    return (base(torch.eye(in_features, dtype=like.dtype, device=like.device)) - bias).T, bias


def fold(last: nn.Linear, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """last(weight x + bias) as one matrix and one bias."""
    return last.weight @ weight, F.linear(bias, last.weight, last.bias)
