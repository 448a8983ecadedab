"""How opaque an instance is: a density for each channel from its text and the time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlusionformer.model.config import BranchConfig


class Density(nn.Module):
    """sigma = scale * softplus(W silu(e) + b), positive, (N, D); a static density drops W and ignores e."""

    def __init__(self, config: BranchConfig) -> None:
        super().__init__()
        self.scale = config.density_scale
        self.linear = nn.Linear(config.width, config.width) if config.density == "learned" else None
        self.level = nn.Parameter(torch.zeros(config.width)) if config.density == "static" else None

    def forward(self, embedding_ND: Tensor) -> Tensor:
        if self.linear is not None:
            raw_ND = self.linear(F.silu(embedding_ND))
        else:
            assert self.level is not None
            raw_ND = self.level.expand_as(embedding_ND)
        precise = torch.promote_types(raw_ND.dtype, torch.float32)
        return self.scale * F.softplus(raw_ND.to(precise))

    def extra_repr(self) -> str:
        return f"scale={self.scale}"
