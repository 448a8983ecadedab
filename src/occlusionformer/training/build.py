"""The model that is trained, as a pipeline: fresh or from stored weights, with what is frozen frozen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from occlusionformer.embedded.build import assembled, packaged_codec
from occlusionformer.embedded.codec import PixelCodec
from occlusionformer.embedded.config import LOOKS_PLACED, backbone_settings, branch_config
from occlusionformer.embedded.packaged import EMBEDDED, TEXT_WIDTH
from occlusionformer.embedded.text import packaged_text_model
from occlusionformer.methods.creatilayout import CreatiLayout
from occlusionformer.methods.eligen import Eligen
from occlusionformer.methods.gligen import Gligen
from occlusionformer.methods.instanceassemble import InstanceAssemble
from occlusionformer.methods.larender import LaRender
from occlusionformer.methods.none import NoLayout
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import LayoutFluxTransformer2DModel, Method, backbone_shape, instance_assemble, paper
from occlusionformer.model.block import LayoutBlock
from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.config import BackboneShape, BranchConfig
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.loading import cast
from occlusionformer.tensors.files import CheckpointError, check_tensors, read_tensors
from occlusionformer.training.appearance import copy_appearance
from occlusionformer.training.attention_maps import AttentionMapBranch
from occlusionformer.training.config import RunConfig
from occlusionformer.training.in_place import attend_in_place
from occlusionformer.training.method_settings import (
    CreatiLayoutSettings,
    EligenSettings,
    GligenSettings,
    InstanceAssembleSettings,
    LaRenderSettings,
    OcclusionFormerSettings,
)
from occlusionformer.training.overrides import SettingsError

TINY_TEXT_TOKENS = 32
"""The words of a prompt and what the first of its objects looks like, or a caption and its look. Twice as many learn
no better, in a fifth more time."""
TINY_BACKBONE: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 12,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 32,
    "num_attention_heads": 4,
    "joint_attention_dim": TEXT_WIDTH,
    "pooled_projection_dim": TEXT_WIDTH,
    "guidance_embeds": True,
    "axes_dims_rope": (8, 12, 12),
}
"""FLUX's parts. A token is 2 x 2 pixels, 12 numbers in a width of 128: FLUX too has room to spare, 64 in 3072."""

PARTS = ("backbone", "branch")


def build_pipeline(config: RunConfig) -> OcclusionFormerPipeline:
    """The model of a run, in evaluation mode; only what is to be trained requires gradients."""
    torch.manual_seed(config.seed)
    makers = {"embedded": _embedded, "flux": _flux, "tiny": _tiny}
    pipeline = makers[config.model.family](config)
    if config.model.init_from is not None:
        load_parts(pipeline, config)
    for name in ("vae", "text_encoder", "text_encoder_2"):
        component = getattr(pipeline, name)
        if component is not None:
            component.requires_grad_(False)
    pipeline.transformer.requires_grad_(config.model.train_backbone)
    if not config.model.train_backbone:
        cast(pipeline.transformer, getattr(torch, config.model.frozen_dtype))
    pipeline.branch.requires_grad_(True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def parts_of(pipeline: OcclusionFormerPipeline) -> dict[str, nn.Module]:
    """The two parts that have weights of their own, under the names of their files."""
    return dict(zip(PARTS, (pipeline.transformer, pipeline.branch), strict=True))


def load_parts(pipeline: OcclusionFormerPipeline, config: RunConfig) -> None:
    """Fill the parts that `init_from` holds; SettingsError lists what is missing there or does not fit."""
    model = config.model
    assert model.init_from is not None
    source = EMBEDDED.weights if model.init_from == "packaged" else Path(model.init_from)
    wanted = PARTS if model.init_parts == "all" else (model.init_parts,)
    found = [name for name in wanted if (source / f"{name}.safetensors").is_file()]
    problems = []
    if not found:
        files = " or ".join(f"{name}.safetensors" for name in wanted)
        problems.append(f"model.init_from: expected {files} in {source}, got neither")
    elif model.family != "flux" and not model.train_backbone and "backbone" not in found:
        problems.append(
            f"model.init_from: expected backbone.safetensors in {source} for a backbone that is not trained"
        )
    for name in found:
        problems += [
            f"model.init_from: {problem}" for problem in fill_part(pipeline, name, source, trained=model.train_backbone)
        ]
    if problems:
        raise SettingsError(problems)


def fill_part(pipeline: OcclusionFormerPipeline, name: str, folder: Path, *, trained: bool = False) -> list[str]:
    """Fill one of PARTS from its file in a folder, where it is there; the problems with what the file holds.

    trained: whether the backbone goes on learning.
    """
    path, module = folder / f"{name}.safetensors", parts_of(pipeline)[name]
    if not path.is_file():
        return []
    try:
        stored, said = read_tensors(path)
        check_tensors(f"{folder}: {name}", stored, {key: value.shape for key, value in module.state_dict().items()})
    except CheckpointError as error:
        return list(error.problems)
    module.load_state_dict(stored)
    learnt = said.items() >= LOOKS_PLACED.items()
    return _agreed(pipeline, folder, learnt=learnt, trained=trained) if name == "backbone" else []


def _agreed(pipeline: OcclusionFormerPipeline, folder: Path, *, learnt: bool, trained: bool) -> list[str]:
    """Let a backbone that never learnt where looks lie begin to; the problem where it cannot."""
    placed = bool(pipeline.transformer.config.get("text_places"))
    if learnt != placed and not (placed and trained):
        return [f"looks_placed: expected {str(learnt).lower()} for the weights in {folder}, got {str(placed).lower()}"]
    if placed and not learnt:
        attend_in_place(pipeline.transformer)
    return []


def new_method(config: RunConfig, shape: BackboneShape) -> Method:
    """A fresh layout method for a backbone of this shape."""
    chosen = config.model.method
    sizes: dict[str, Any] = {"num_heads": shape.num_heads, "head_dim": shape.head_dim}
    blocks = {"dual_blocks": tuple(range(shape.num_dual)), "single_blocks": tuple(range(shape.num_single))}
    if isinstance(chosen, OcclusionFormerSettings):
        return _occlusionformer(chosen, config, shape)
    if isinstance(chosen, InstanceAssembleSettings):
        return InstanceAssemble.build(replace(_instance_assemble(config, shape), lora_rank=chosen.lora_rank))
    settings = chosen.model_dump(exclude={"name"})
    if isinstance(chosen, CreatiLayoutSettings):
        return CreatiLayout(**sizes, **blocks, **settings)
    if isinstance(chosen, GligenSettings):
        settings["token_width"] = chosen.token_width or shape.pooled_dim
        return Gligen(**sizes, **blocks, pooled_dim=shape.pooled_dim, **settings)
    if isinstance(chosen, EligenSettings):
        return Eligen(**sizes, num_dual=shape.num_dual, num_single=shape.num_single, **settings)
    return LaRender(**settings) if isinstance(chosen, LaRenderSettings) else NoLayout()


def _instance_assemble(config: RunConfig, shape: BackboneShape) -> BranchConfig:
    """Beside the embedded model what its own branch has as well, but for density, masks and order."""
    if config.model.family != "embedded":
        return instance_assemble(shape)
    return replace(branch_config(), hybrid="mean", density="none", mask_head=False)


def _occlusionformer(chosen: OcclusionFormerSettings, config: RunConfig, shape: BackboneShape) -> OcclusionFormer:
    """As the family has it, with the settings that are given; the ablation on attention maps is a class of its own."""
    branch = branch_config() if config.model.family == "embedded" else paper(shape)
    given = {
        name: value
        for name in ("hybrid", "rasteriser", "instance_modulation")
        if (value := getattr(chosen, name)) is not None
    }
    if chosen.instance_modulation is False:
        given |= {"box_coordinates": False, "instance_mlp_ratio": 0, "appearance_side": 0}
    if chosen.appearance is False:
        given |= {"appearance_side": 0}
    branch = replace(
        branch,
        lora_rank=chosen.lora_rank,
        density=chosen.density,
        mask_head=config.objective.align == "query",
        **given,
    )
    built = (AttentionMapBranch if config.objective.align == "attention" else OcclusionFormer).build(branch)
    assert isinstance(built, OcclusionFormer)
    return built


def _flux(config: RunConfig) -> OcclusionFormerPipeline:
    """A stock FLUX pipeline with a new branch beside its transformer."""
    base = config.model.base
    assert base is not None
    dtype = getattr(torch, config.model.frozen_dtype)
    pipeline = OcclusionFormerPipeline.from_pretrained(base, branch=None, dtype=dtype)
    pipeline.register_modules(branch=new_method(config, backbone_shape(pipeline.transformer)))
    return pipeline


def _embedded(config: RunConfig) -> OcclusionFormerPipeline:
    """Without a layout method the model has to read what is asked for from the prompt."""
    named = config.model.captions_in_prompt
    transformer = LayoutFluxTransformer2DModel(
        **backbone_settings(looks_placed=config.model.looks_placed), prediction_type="sample"
    )
    branch = new_method(config, backbone_shape(transformer))
    initialise(transformer, branch)
    if config.model.looks_placed:
        attend_in_place(transformer)
    if isinstance(branch, OcclusionBranch) and branch.appearance is not None:
        copy_appearance(branch.appearance, packaged_text_model())
    return assembled(
        transformer=transformer,
        branch=branch,
        vae=packaged_codec(config.model.codec),
        default_size=config.data.canvas,
        captions_in_prompt=config.model.method.name == "none" if named is None else named,
    )


def _tiny(config: RunConfig) -> OcclusionFormerPipeline:
    transformer = LayoutFluxTransformer2DModel(**TINY_BACKBONE, prediction_type="velocity")
    return assembled(
        transformer=transformer,
        branch=new_method(config, backbone_shape(transformer)),
        vae=PixelCodec(latent_channels=3, block_out_channels=(1,)),
        max_sequence_length=TINY_TEXT_TOKENS,
        default_size=config.data.canvas,
        captions_in_prompt=True,
    )


def initialise(backbone: LayoutFluxTransformer2DModel, branch: Method) -> None:
    """Start the backbone's modulation and output near zero; let the branch, which carries the work, speak early."""
    for block in [*backbone.transformer_blocks, *backbone.single_transformer_blocks]:
        for name, module in block.named_modules():
            if name in {"norm1.linear", "norm1_context.linear", "norm.linear"}:
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
    nn.init.zeros_(backbone.proj_out.weight)
    nn.init.zeros_(backbone.proj_out.bias)
    for layout_block in branch.modules():
        if isinstance(layout_block, LayoutBlock):
            nn.init.normal_(layout_block.project.weight, std=0.02)
