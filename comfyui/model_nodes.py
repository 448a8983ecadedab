"""Nodes that act on a model: load a branch, apply a layout, read masks."""

from __future__ import annotations

from typing import Any

import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.model import FLUX_DEV

from .applying import applied, apply_layout
from .branch_patcher import BranchWeights, branch_names, find_branch, load_branch
from .flux_model import LATENT_PIXELS, backbone_shape
from .socket_types import CATEGORY, BranchType, LayoutType

FOLDER = "model_patches"
"""Of ComfyUI's models."""


class LoadBranch(io.ComfyNode):
    """Released weights, a bundle, or a branch that this project saved or trained."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OcclusionFormerLoadBranch",
            display_name="Load OcclusionFormer Branch",
            category=CATEGORY,
            description="Loads the layout branch that works beside FLUX: a folder or a bundle in models/model_patches.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=branch_names(folder_paths.get_filename_list(FOLDER)),
                    tooltip="A folder (with a slash) or a bundle below models/model_patches.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that released weights are for, if it is not of FLUX.1-dev's size.",
                ),
            ],
            outputs=[BranchType.Output("branch", display_name="branch")],
        )

    @classmethod
    def execute(cls, name: str, model: Any = None) -> io.NodeOutput:
        shape = FLUX_DEV if model is None else backbone_shape(model.get_model_object("diffusion_model"))
        path = find_branch(name, folder_paths.get_folder_paths(FOLDER))
        return io.NodeOutput(BranchWeights(load_branch(path, shape), name))


class ApplyLayout(io.ComfyNode):
    """The model draws what the layout says, for all samplers behind this node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OcclusionFormerApply",
            display_name="Apply OcclusionFormer",
            category=CATEGORY,
            description="Lets FLUX draw every instance in its box, with those in front hiding those behind.",
            inputs=[
                io.Model.Input("model", tooltip="FLUX.1, with LoRAs, quantised or patched otherwise as you like."),
                io.Clip.Input("clip", tooltip="FLUX's text encoders; they read the captions."),
                BranchType.Input("branch"),
                LayoutType.Input("layout", tooltip="One for all pictures of the batch, or one for each."),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=10.0, step=0.05,
                    tooltip="Of all that the layout adds; 0 is FLUX alone.",
                ),
                io.Float.Input(
                    "grounding_ratio", default=0.3, min=0.0, max=1.0, step=0.01,
                    tooltip="Share of the sampler's steps, from the first, with the layout; above 0 at least one.",
                ),
                io.Boolean.Input(
                    "masks", default=False, tooltip="Keep what Instance Masks reads; needs a branch with a mask head."
                ),
            ],
            outputs=[io.Model.Output("patched", display_name="model")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        branch: BranchWeights,
        layout: tuple[Layout, ...],
        strength: float,
        grounding_ratio: float,
        masks: bool = False,
    ) -> io.NodeOutput:
        return io.NodeOutput(
            apply_layout(
                model, clip, branch, layout, strength=strength, grounding_ratio=grounding_ratio, want_masks=masks
            )
        )


class InstanceMasks(io.ComfyNode):
    """Where the branch sees the instances, at the last step with the layout."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="OcclusionFormerInstanceMasks",
            display_name="OcclusionFormer Instance Masks",
            category=CATEGORY,
            description="One mask for every instance of every sampled picture, in the layout's order of instances.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="The one that was sampled with, from Apply OcclusionFormer with masks on."
                ),
                io.Latent.Input("samples", tooltip="What the sampler made of it."),
                io.Float.Input(
                    "threshold", default=0.0, min=0.0, max=1.0, step=0.01,
                    tooltip="0 leaves probabilities; above, masks are 1 from there on and 0 below.",
                ),
            ],
            outputs=[
                io.Mask.Output("masks", display_name="masks"),
                io.String.Output("names", display_name="names", is_output_list=True),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, model: Any, samples: dict[str, Tensor], threshold: float) -> io.NodeOutput:
        patches = [patch for patch in applied(model) if patch.want_masks]
        if not patches:
            raise ValueError("model: expected one from Apply OcclusionFormer with masks on, got one without")
        latents = samples["samples"]
        size = (latents.shape[-2] * LATENT_PIXELS, latents.shape[-1] * LATENT_PIXELS)
        found = [patch.log.of(latents) for patch in patches]
        masks = torch.cat([mask for each in found for mask in each.masks(size)])
        names = [instance.id for each in found for layout in each.layouts for instance in layout.instances]
        return io.NodeOutput((masks >= threshold).float() if threshold else masks, names)


MODEL_NODES: list[type[io.ComfyNode]] = [LoadBranch, ApplyLayout, InstanceMasks]
