"""Low-rank deltas on borrowed layers: the branch owns the delta, the backbone keeps the layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Half = Callable[[Tensor], Tensor]
Product = TypeVar("Product")


class WeightProducts:
    """Products of weight matrices, formed once per request and again when one of the weights has changed.

    Nothing is kept while gradients are recorded, nor of weights whose changes cannot be seen (inference tensors).
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[tuple[Tensor, ...], tuple[int, ...], Any]] = {}

    def of(self, owner: Hashable, weights: Sequence[Tensor], form: Callable[[], Product]) -> Product:
        """form(), which depends on nothing but `weights`; at most one product is kept for an owner."""
        if torch.is_grad_enabled() or any(weight.is_inference() for weight in weights):
            return form()
        versions = tuple(weight._version for weight in weights)
        known = self._kept.get(owner)
        if known is not None and known[1] == versions and all(a is b for a, b in zip(known[0], weights, strict=True)):
            kept: Product = known[2]
            return kept
        product = form()
        self._kept[owner] = (tuple(weights), versions, product)
        return product


class LowRankDelta(nn.Module):
    """base(x) + scale * up(down(x)); the base layer is lent with every call and never changed."""

    def __init__(self, in_features: int, out_features: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, base: nn.Module, x: Tensor, products: WeightProducts) -> Tensor:
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        if not torch.is_grad_enabled() and 2 * rows > width and precise(x) and plain(base, x) and self.readable(x):
            assert isinstance(base, nn.Linear)
            weight = base.weight
            merged = products.of(self, (weight, *self.weights), lambda: self.merged(weight))
            return F.linear(x, merged, base.bias)
        return base(x) + self.up(self.down(x)) * self.scale

    @property
    def weights(self) -> tuple[Tensor, ...]:
        return self.up.weight, self.down.weight

    def readable(self, like: Tensor) -> bool:
        return plain(self.down, like) and plain(self.up, like)

    def merged(self, weight: Tensor, inputs: slice = slice(None)) -> Tensor:
        """A base weight (out, in), or its columns for some inputs, with the delta added."""
        return torch.addmm(weight[:, inputs], self.up.weight, self.down.weight[:, inputs], alpha=self.scale)

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

    def forward(self, base: nn.Module, x: Tensor, products: WeightProducts) -> Tensor:
        return base(x)

    @property
    def weights(self) -> tuple[Tensor, ...]:
        return ()

    def readable(self, like: Tensor) -> bool:
        return True

    def merged(self, weight: Tensor, inputs: slice = slice(None)) -> Tensor:
        return weight[:, inputs]

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


def plain(layer: nn.Module, like: Tensor) -> bool:
    """An unwrapped linear layer whose weight may be read: not quantised, not offloaded, stored in the dtype in use.

    Some quantisations leave the layer an nn.Linear and the dtype as it was, and make its weight a subclass of Tensor.
    """
    hooked = hasattr(layer, "_hf_hook") or hasattr(layer, "_diffusers_hook")
    if type(layer) is not nn.Linear or hooked or type(layer.weight) not in (nn.Parameter, Tensor):
        return False
    return layer.weight.dtype == like.dtype and not layer.weight.is_meta


def precise(x: Tensor) -> bool:
    """Products of weights may be formed first without losing a small delta to rounding, as bf16 would."""
    return x.dtype in (torch.float32, torch.float64)


def dense(base: nn.Module, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """Weight (out, in) and bias of a borrowed layer, the user's own LoRAs included; None where they cannot be read."""
    if plain(base, like):
        assert isinstance(base, nn.Linear)
        return base.weight, base.bias if base.bias is not None else like.new_zeros(base.out_features)
    adapters: Any = base
    if not hasattr(base, "get_delta_weight") or adapters.merged or any(adapters.use_dora.values()):
        return None
    under = dense(adapters.get_base_layer(), like)
    if under is None or adapters.disable_adapters:
        return under
    weight, bias = under
    for name in adapters.active_adapters:
        if name in adapters.lora_A:
            weight = weight + adapters.get_delta_weight(name)
    return weight, bias


def fold(last: nn.Linear, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """last(weight x + bias) as one matrix and one bias."""
    return last.weight @ weight, F.linear(bias, last.weight, last.bias)
