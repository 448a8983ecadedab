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
        return self.added(base(x), self.down(x))

    def added(self, output: Tensor, low: Tensor) -> Tensor:
        """output + scale * up(low), rounded once."""
        flat = torch.addmm(output.flatten(0, -2), low.flatten(0, -2), self.up.weight.T, alpha=self.scale)
        return flat.unflatten(0, output.shape[:-1])

    def part(self, base: nn.Module, x: Tensor, inputs: slice, *, bias: bool = False) -> Tensor:
        """What some inputs of a readable layer contribute: the parts of all inputs, one with the bias, add up."""
        output = _part(base, x, inputs, bias)
        return self.added(output, F.linear(x, self.down.weight[:, inputs]))

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class NoDelta(nn.Module):
    """A borrowed layer used as it is."""

    def forward(self, base: nn.Module, x: Tensor) -> Tensor:
        output: Tensor = base(x)
        return output

    def part(self, base: nn.Module, x: Tensor, inputs: slice, *, bias: bool = False) -> Tensor:
        """As LowRankDelta.part."""
        return _part(base, x, inputs, bias)


def _part(base: nn.Module, x: Tensor, inputs: slice, bias: bool) -> Tensor:
    assert isinstance(base, nn.Linear)
    return F.linear(x, base.weight[:, inputs], base.bias if bias else None)


class Deltas(nn.ModuleDict):
    """The deltas of one block by the name of the layer they belong to."""

    def of(self, name: str) -> LowRankDelta | NoDelta:
        found = self[name]
        assert isinstance(found, LowRankDelta | NoDelta)
        return found


def delta(in_features: int, out_features: int, rank: int, scale: float) -> LowRankDelta | NoDelta:
    return LowRankDelta(in_features, out_features, rank, scale) if rank else NoDelta()


def readable(layer: nn.Module, like: Tensor) -> bool:
    """Whether a layer's weight may be read instead of the layer called.

    It may not where something stands between the two: a LoRA around the layer, a quantised weight (some leave the
    layer an nn.Linear and make its weight a subclass of Tensor), one stored in another format, or elsewhere until the
    layer is called.
    """
    if type(layer) is not nn.Linear or hasattr(layer, "_hf_hook") or hasattr(layer, "_diffusers_hook"):
        return False
    weight = layer.weight
    return type(weight) in (nn.Parameter, Tensor) and weight.dtype == like.dtype and weight.device == like.device
