"""What travels between nodes: our own types, and those of boxes, which older releases of ComfyUI do not name."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "OcclusionFormer"

BranchType = io.Custom("OCCLUSIONFORMER_BRANCH")
"""BranchWeights."""

LayoutType = io.Custom("OCCLUSIONFORMER_LAYOUT")
"""A tuple of Layout: one for all pictures of a batch, or one for each."""

BoxesType = io.Custom("BOUNDING_BOX")
LayersType = io.Custom("LAYERS")
