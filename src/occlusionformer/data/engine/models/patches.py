"""A small network over patches of a window: matrix products alone, so that one core trains it in minutes.

Tensors: B windows, S side in pixels, C channels, P patches, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchConfig:
    """Sizes of the network."""

    channels: int
    """Three colours and the masks."""
    side: int = 96
    """Pixels of a window's side; a contour's joints are lost below."""
    patch: int = 12
    """Pixels of a patch's side: 64 patches, whatever the resolution costs is paid by one matrix."""
    width: int = 128
    layers: int = 3
    heads: int = 4
    outputs: int
    """Numbers per window for a classifier; 0 for a map of the window."""

    @property
    def patches(self) -> int:
        return (self.side // self.patch) ** 2


class Layer(nn.Module):
    """Attention and two-layer perceptron, each after a norm and added."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(config.width)
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm_mlp = nn.LayerNorm(config.width)
        self.widen = nn.Linear(config.width, 4 * config.width)
        self.narrow = nn.Linear(4 * config.width, config.width)

    def forward(self, tokens_BPD: Tensor) -> Tensor:
        parts = self.query_key_value(self.norm_attention(tokens_BPD)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens_BPD = tokens_BPD + self.out(attended)
        return tokens_BPD + self.narrow(functional.gelu(self.widen(self.norm_mlp(tokens_BPD))))


class PatchNetwork(nn.Module):
    """Maps windows (B, S, S, C) to outputs (B, outputs), or to a map (B, S, S) of logits."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        self.config = config
        pixels = config.patch * config.patch
        self.embed = nn.Linear(config.channels * pixels, config.width)
        self.place = nn.Parameter(torch.randn(config.patches, config.width) * 0.02)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.outputs or pixels)

    def forward(self, windows_BSSC: Tensor) -> Tensor:
        patch, across = self.config.patch, self.config.side // self.config.patch
        cut = windows_BSSC.unflatten(2, (across, patch)).unflatten(1, (across, patch))
        tokens_BPD = self.embed(cut.transpose(2, 3).flatten(3).flatten(1, 2)) + self.place
        for layer in self.layers:
            tokens_BPD = layer(tokens_BPD)
        tokens_BPD = self.norm(tokens_BPD)
        if self.config.outputs:
            return self.head(tokens_BPD.mean(dim=1))
        logits = self.head(tokens_BPD).unflatten(2, (patch, patch)).unflatten(1, (across, across))
        return logits.transpose(2, 3).flatten(3).flatten(1, 2)
