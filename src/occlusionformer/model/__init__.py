"""The parameters: the OcclusionFormer branch, and the loop that runs it over a stock Flux transformer."""

from occlusionformer.model.adapter import LayoutAdapter, LayoutCondition
from occlusionformer.model.backbone import FluxInputs, backbone_shape
from occlusionformer.model.branch import OcclusionBranch, condition, prepare_layouts
from occlusionformer.model.config import (
    FLUX_DEV,
    BackboneShape,
    BranchConfig,
    instance_assemble,
    paper,
    published,
)
from occlusionformer.model.transformer import LayoutFlux, LayoutFluxOutput

__all__ = [
    "FLUX_DEV",
    "BackboneShape",
    "BranchConfig",
    "FluxInputs",
    "LayoutAdapter",
    "LayoutCondition",
    "LayoutFlux",
    "LayoutFluxOutput",
    "OcclusionBranch",
    "backbone_shape",
    "condition",
    "instance_assemble",
    "paper",
    "prepare_layouts",
    "published",
]
