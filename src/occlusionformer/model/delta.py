"""Low-rank deltas on borrowed layers: the branch owns the delta, the backbone keeps the layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Half = Callable[[Tensor], Tensor]


class LowRankDelta(nn.Module):
    """base(x) + scale * up(down(x)); the base layer is lent with every call and never changed."""

    def __init__(self, in_features: int, out_features: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, base: nn.Module, x: Tensor) -> Tensor:
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        if not torch.is_grad_enabled() and 2 * rows > width and mergeable(base, x):
            return F.linear(x, base.weight + self.weight(), base.bias)
        return base(x) + self.up(self.down(x)) * self.scale

    def weight(self) -> Tensor:
        """The delta as a dense (out, in) matrix."""
        return self.up.weight @ self.down.weight * self.scale

    def split(self, weight: Tensor, first: int) -> tuple[Half, Half]:
        """The layer `weight` with this delta, cut into a part for the first inputs and one for the rest; no bias."""
        cut = (slice(None, first), slice(first, None))
        halves = [_half(weight[:, part], self.down.weight[:, part], self.up.weight * self.scale) for part in cut]
        return halves[0], halves[1]

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


def _half(weight: Tensor, down: Tensor, up: Tensor) -> Half:
    return lambda x: F.linear(x, weight) + F.linear(F.linear(x, down), up)


class NoDelta(nn.Module):
    """A borrowed layer used as it is."""

    def forward(self, base: nn.Module, x: Tensor) -> Tensor:
        return base(x)

    def weight(self) -> Tensor:
        return torch.zeros(())

    def split(self, weight: Tensor, first: int) -> tuple[Half, Half]:
        return (lambda x: F.linear(x, weight[:, :first])), (lambda x: F.linear(x, weight[:, first:]))


class Deltas(nn.ModuleDict):
    """The deltas of one block by the name of the layer they belong to."""

    def of(self, name: str) -> LowRankDelta | NoDelta:
        found = self[name]
        assert isinstance(found, LowRankDelta | NoDelta)
        return found


def delta(in_features: int, out_features: int, rank: int, scale: float) -> LowRankDelta | NoDelta:
    return LowRankDelta(in_features, out_features, rank, scale) if rank else NoDelta()


def mergeable(base: nn.Module, x: Tensor) -> bool:
    """A plain layer in full precision: adding a delta to its weight first loses nothing (in bf16 it would)."""
    return type(base) is nn.Linear and not hasattr(base, "_hf_hook") and base.weight.dtype == x.dtype and precise(x)


def precise(x: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.float64)


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
