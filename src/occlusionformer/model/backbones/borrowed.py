"""The layers that a block of a backbone lends to a method: called, never changed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class BorrowedDual:
    """Layers lent by a dual-stream block: image stream, and text stream under `context`."""

    norm: nn.Module
    modulation: nn.Module
    context_norm: nn.Module
    context_modulation: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    context_q: nn.Module
    context_k: nn.Module
    context_v: nn.Module
    norm_q: nn.Module
    norm_k: nn.Module
    context_norm_q: nn.Module
    context_norm_k: nn.Module
    out: nn.Module
    context_out: nn.Module
    ff_norm: nn.Module
    ff_in: nn.Module
    ff_out: nn.Module
    context_ff_norm: nn.Module
    context_ff_in: nn.Module
    context_ff_out: nn.Module


@dataclass(frozen=True, slots=True)
class BorrowedSingle:
    """Layers lent by a single-stream block."""

    norm: nn.Module
    modulation: nn.Module
    q: nn.Module
    k: nn.Module
    v: nn.Module
    norm_q: nn.Module
    norm_k: nn.Module
    mlp: nn.Module
    mlp_act: nn.Module
    out: nn.Module
