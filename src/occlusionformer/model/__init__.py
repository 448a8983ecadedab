"""What methods act on and share: the drop-in transformer, views of its blocks, and the branch of layout blocks."""

import occlusionformer.model.backbones.libraries  # noqa: F401 - before anything else imports diffusers
from occlusionformer.model.backbones.flux_transformer import LayoutFluxTransformer2DModel, backbone_shape
from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.config import (
    FLUX_DEV,
    BackboneShape,
    BranchConfig,
    instance_assemble,
    paper,
    published,
)
from occlusionformer.model.method import InstanceTexts, LayoutReport, Method, PreparedLayouts, TextNeeds

__all__ = [
    "FLUX_DEV",
    "BackboneShape",
    "BranchConfig",
    "InstanceTexts",
    "LayoutFluxTransformer2DModel",
    "LayoutReport",
    "Method",
    "OcclusionBranch",
    "PreparedLayouts",
    "TextNeeds",
    "backbone_shape",
    "instance_assemble",
    "paper",
    "published",
]
