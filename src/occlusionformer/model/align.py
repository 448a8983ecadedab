"""The mask head: from the similarity between a layer and its instance's query to background and foreground logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from occlusionformer.model.config import BranchConfig
from occlusionformer.tensors.alignment import instance_maps
from occlusionformer.tensors.packing import PackedInstances


class MaskHead(nn.Module):
    """Query projection and three convolutions over the similarity map; logits (N, L, 2), channel 1 is foreground."""

    def __init__(self, config: BranchConfig) -> None:
        super().__init__()
        wide, narrow = config.mask_channels
        self.eps = config.cosine_eps
        self.query = nn.Linear(config.width, config.width)
        self.predictor = nn.Sequential(
            nn.Conv2d(1, wide, 3, padding=1), nn.GELU(), nn.Conv2d(wide, narrow, 3, padding=1), nn.GELU(),
            nn.Conv2d(narrow, 2, 1),
        )  # fmt: skip

    def queries(self, embedding_ND: Tensor) -> Tensor:
        return self.query(F.silu(embedding_ND))

    def forward(self, cosine_T: Tensor, packed: PackedInstances) -> Tensor:
        """From the query cosine of every pair."""
        similarity = instance_maps(cosine_T, packed).to(self.query.weight.dtype)
        return self.predictor(similarity).flatten(2).transpose(1, 2)
