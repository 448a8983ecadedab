"""The model that is trained, as a pipeline: fresh or from stored weights, with what is frozen frozen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from occlusionformer.embedded.build import WEIGHTS
from occlusionformer.embedded.codec import PixelCodec
from occlusionformer.embedded.config import BACKBONE, SHIFT, STEPS, TEXT_TOKENS, TEXT_WIDTH, embedded_branch
from occlusionformer.embedded.text import packaged_text_model, packaged_tokenizer
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import BranchConfig, LayoutFluxTransformer2DModel, OcclusionBranch, backbone_shape, paper
from occlusionformer.model.block import LayoutBlock
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.loading import cast
from occlusionformer.tensors.files import CheckpointError, check_tensors, read_pickle, read_tensors, tensors_in
from occlusionformer.training.attention_maps import AttentionMapBranch
from occlusionformer.training.config import RunConfig
from occlusionformer.training.overrides import SettingsError

TINY_TEXT_TOKENS = 32
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
    family = config.model.family
    pipeline = _flux(config) if family == "flux" else _small(config)
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
    """Fill the branch, and the backbone where it is trained, from `init_from`; SettingsError lists what misfits."""
    assert config.model.init_from is not None
    source = WEIGHTS if config.model.init_from == "packaged" else Path(config.model.init_from)
    problems = []
    for name in PARTS if config.model.train_backbone else ("branch",):
        module = parts_of(pipeline)[name]
        try:
            stored = stored_part(source, name)
            check_tensors(f"{source}: {name}", stored, {key: value.shape for key, value in module.state_dict().items()})
        except CheckpointError as error:
            problems += [f"model.init_from: {problem}" for problem in error.problems]
        else:
            module.load_state_dict(stored)
    if problems:
        raise SettingsError(problems)


def stored_part(source: Path, name: str) -> dict[str, Tensor]:
    """The tensors of one part in a folder, or the averages in a plain loop's `checkpoint.pt`, which runs no code."""
    if source.suffix != ".pt":
        return read_tensors(source / f"{name}.safetensors")[0]
    state = read_pickle(source)
    if not isinstance(state, dict) or not isinstance(state.get("ema"), dict):
        raise CheckpointError(source, ["expected averaged weights under 'ema'"])
    own = {key: value for key, value in tensors_in(source, state["ema"]).items() if key.startswith(f"{name}.")}
    return {key.removeprefix(f"{name}."): value for key, value in own.items()}


def _branch(config: RunConfig, shape: BranchConfig) -> OcclusionBranch:
    shape = replace(
        shape,
        lora_rank=config.model.lora_rank,
        density=config.model.density,
        mask_head=config.objective.align == "query",
    )
    return (AttentionMapBranch if config.objective.align == "attention" else OcclusionFormer).build(shape)


def _flux(config: RunConfig) -> OcclusionFormerPipeline:
    """A stock FLUX pipeline with a new branch beside its transformer."""
    base = config.model.base
    assert base is not None
    dtype = getattr(torch, config.model.frozen_dtype)
    pipeline = OcclusionFormerPipeline.from_pretrained(base, branch=None, dtype=dtype)
    pipeline.register_modules(branch=_branch(config, paper(backbone_shape(pipeline.transformer))))
    return pipeline


def _small(config: RunConfig) -> OcclusionFormerPipeline:
    tiny = config.model.family == "tiny"
    transformer = LayoutFluxTransformer2DModel(
        **(TINY_BACKBONE if tiny else BACKBONE), prediction_type="velocity" if tiny else "sample"
    )
    branch = _branch(config, paper(backbone_shape(transformer)) if tiny else embedded_branch())
    if not tiny:
        initialise(transformer, branch)
    text, tokenizer = packaged_text_model(), packaged_tokenizer()
    return OcclusionFormerPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=PixelCodec(latent_channels=3, block_out_channels=(1,)) if tiny else PixelCodec(),
        text_encoder=text,
        tokenizer=tokenizer,
        text_encoder_2=text,
        tokenizer_2=tokenizer,
        transformer=transformer,
        branch=branch,
        max_sequence_length=TINY_TEXT_TOKENS if tiny else TEXT_TOKENS,
        default_steps=STEPS,
        default_guidance=1.0,
        default_grounding_ratio=1.0,
        default_size=config.data.canvas,
        captions_in_prompt=tiny,
    )


def initialise(backbone: LayoutFluxTransformer2DModel, branch: OcclusionBranch) -> None:
    """Start the backbone's modulation and output near zero; let the branch, which carries the work, speak early."""
    for block in [*backbone.transformer_blocks, *backbone.single_transformer_blocks]:
        for name, module in block.named_modules():
            if name in {"norm1.linear", "norm1_context.linear", "norm.linear"}:
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
    nn.init.zeros_(backbone.proj_out.weight)
    nn.init.zeros_(backbone.proj_out.bias)
    for layout_block in [*branch.dual.values(), *branch.single.values()]:
        assert isinstance(layout_block, LayoutBlock)
        nn.init.normal_(layout_block.project.weight, std=0.02)
