"""The ablation that aligns attention instead of queries: a mask is where the layout token attends.

Legend: N instances, T (instance, pixel) pairs, L tokens, H heads, E channels of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model.attention import QueryKeyValue
from occlusionformer.model.block import BranchStep, Composition, DualLayoutBlock, LayoutBlock, SingleLayoutBlock
from occlusionformer.tensors.alignment import instance_maps
from occlusionformer.tensors.packing import PackedInstances

LEAST = 1e-4
"""Probabilities stay this far from 0 and 1: their logarithms are the logits."""


def attention_probability(joint: QueryKeyValue, packed: PackedInstances) -> Tensor:
    """Attention of each layout token to its pixels, mean of heads, over the greatest of them, (T,) in 0..1."""
    owner_T, num_tokens = packed.owner_T, packed.num_instances
    query_THE, key_THE = joint.query[owner_T].float(), joint.key[num_tokens + packed.row_T].float()
    score_TH = (query_THE * key_THE).sum(-1) * key_THE.shape[-1] ** -0.5
    shape = (packed.num_instances, score_TH.shape[1])
    index_TH = owner_T[:, None].expand_as(score_TH)
    with torch.no_grad():
        highest_NH = score_TH.new_full(shape, -torch.inf).scatter_reduce(0, index_TH, score_TH, "amax")
    weight_TH = torch.exp(score_TH - highest_NH[owner_T])
    total_NH = weight_TH.new_zeros(shape).index_add(0, owner_T, weight_TH)
    mean_T = (weight_TH / total_NH[owner_T]).mean(1)
    greatest_N = mean_T.new_zeros(shape[0]).scatter_reduce(0, owner_T, mean_T, "amax", include_self=False)
    return mean_T / greatest_N[owner_T]


class AttentionComposition(Composition):
    """Composites as ever; its masks are the layout tokens' attention."""

    def __init__(self, block: LayoutBlock, step: BranchStep, joint: QueryKeyValue) -> None:
        super().__init__(block, step, joint)
        self.joint = joint if step.return_masks else None

    @property
    def mask_logits(self) -> Tensor | None:
        if self.joint is None:
            return None
        map_NL = instance_maps(attention_probability(self.joint, self.packed), self.packed).flatten(1)
        map_NL = map_NL.clamp(LEAST, 1 - LEAST)
        return torch.stack([torch.log1p(-map_NL), map_NL.log()], -1)


class AttentionMaps(LayoutBlock):
    """A layout block whose masks are its layout tokens' attention."""

    composes = AttentionComposition


class AttentionMapDualBlock(AttentionMaps, DualLayoutBlock):
    """After a dual-stream block."""


class AttentionMapSingleBlock(AttentionMaps, SingleLayoutBlock):
    """After a single-stream block."""


class AttentionMapBranch(OcclusionFormer):
    """The branch without a mask head; its weights are those of an OcclusionBranch without one."""

    def __init__(self, branch: dict[str, Any]) -> None:
        super().__init__(branch)
        self.dual = nn.ModuleDict({str(index): AttentionMapDualBlock(self.shape) for index in self.shape.dual_blocks})
        self.single = nn.ModuleDict(
            {str(index): AttentionMapSingleBlock(self.shape) for index in self.shape.single_blocks}
        )
