"""Whether a branch belongs to a backbone, and whether it can borrow the backbone's layers."""

from __future__ import annotations

import torch
from diffusers.hooks import HookRegistry
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor, nn

from occlusionformer.model import OcclusionBranch, backbone_shape
from occlusionformer.pipelines.inputs import Layouts


def check_fit(transformer: FluxTransformer2DModel, branch: OcclusionBranch) -> None:
    """ValueError with everything about a branch that does not fit."""
    backbone, shape = backbone_shape(transformer), branch.shape
    problems = [
        f"branch: expected {name} {getattr(backbone, name)} as in the transformer, got {getattr(shape, name)}"
        for name in ("num_heads", "head_dim", "pooled_dim")
        if getattr(backbone, name) != getattr(shape, name)
    ]
    problems += [
        f"branch: expected {name} below {count}, got {blocks}"
        for name, blocks, count in (
            ("dual_blocks", shape.dual_blocks, backbone.num_dual),
            ("single_blocks", shape.single_blocks, backbone.num_single),
        )
        if any(block >= count for block in blocks)
    ]
    if problems:
        raise ValueError("\n".join(problems))


def check_branch(branch: OcclusionBranch | None, layouts: Layouts) -> None:
    """ValueError for a layout without anything that could draw it."""
    if branch is None and any(layout is not None and layout.instances for layout in layouts):
        raise ValueError("layout: expected a pipeline with a branch, got one with branch=None")


def check_dtype(branch: OcclusionBranch, activations: Tensor) -> None:
    """ValueError for a branch in another number format than what it reads, except where autocast takes care of it."""
    dtypes = {value.dtype for value in branch.parameters() if value.is_floating_point() and value.element_size() > 1}
    others = sorted(map(str, dtypes - {activations.dtype}))
    if others and not torch.is_autocast_enabled(activations.device.type):
        wanted = str(activations.dtype)
        raise ValueError(
            f"branch: expected {wanted} as the embeddings of the text encoders, got {', '.join(others)}; "
            f"pipeline.branch.to({wanted}) casts it, as does dtype={wanted} while loading"
        )


def check_group_offload(transformer: FluxTransformer2DModel, branch: OcclusionBranch) -> None:
    """ValueError if weights the branch needs leave the accelerator before it runs.

    Blocks offloaded as a whole are gone once their own forward ends, and the branch multiplies its own weights
    outside any forward.
    """
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    if any(_group_offloaded(block) for block in blocks):
        raise ValueError("enable_group_offload: with a layout, expected offload_type='leaf_level', got 'block_level'")
    if any(_group_offloaded(module) for module in branch.modules()):
        raise ValueError("enable_group_offload: with a layout, expected exclude_modules to name 'branch'")


def _group_offloaded(module: nn.Module) -> bool:
    registry = getattr(module, "_diffusers_hook", None)
    return isinstance(registry, HookRegistry) and registry.get_hook("group_offloading") is not None
