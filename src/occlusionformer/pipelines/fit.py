"""Whether a branch belongs to a backbone."""

from __future__ import annotations

from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

from occlusionformer.model import OcclusionBranch, backbone_shape


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
