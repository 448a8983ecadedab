"""The embedded pipeline put together from the weights in the package: the same classes that run FLUX.1-dev."""

from __future__ import annotations

import occlusionformer.model  # noqa: F401 - before anything else imports diffusers

# isort: split
from pathlib import Path

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import nn

from occlusionformer.embedded.codec import PixelCodec
from occlusionformer.embedded.config import (
    BACKBONE,
    CANVAS,
    SHIFT,
    STEPS,
    TEXT_TOKENS,
    embedded_branch,
)
from occlusionformer.embedded.text import packaged_text_model, packaged_tokenizer
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.methods.registry import load_method
from occlusionformer.model import LayoutFluxTransformer2DModel, Method
from occlusionformer.model.backbones.libraries import libraries_standing_in
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.loading import LOADING
from occlusionformer.tensors.files import check_tensors, read_tensors

WEIGHTS = Path(__file__).with_name("weights")
BACKBONE_FILE, BRANCH_FILE = "backbone.safetensors", "branch.safetensors"
BRANCH_FOLDER = "branch"


def embedded_pipeline(weights: Path = WEIGHTS) -> OcclusionFormerPipeline:
    """A ready pipeline in float32 on the CPU; nothing is downloaded.

    weights: a folder with `backbone.safetensors` and `branch.safetensors`, stored in any float format, or as training
    leaves it: with `branch/`, which says what method it is; a backbone that was not trained is the packaged one.
    Raises CheckpointError for files that are damaged or hold the weights of another model.
    """
    with LOADING, libraries_standing_in():
        return _built(weights)


def _built(weights: Path) -> OcclusionFormerPipeline:
    with torch.device("meta"):
        transformer = LayoutFluxTransformer2DModel(**BACKBONE, prediction_type="sample")
    trained = (weights / BRANCH_FOLDER).is_dir()
    frozen = trained and not (weights / BACKBONE_FILE).is_file()
    _fill(transformer, (WEIGHTS if frozen else weights) / BACKBONE_FILE)
    if trained:
        branch: Method = load_method(weights / BRANCH_FOLDER).to(torch.float32)
        branch.requires_grad_(False)
    else:
        with torch.device("meta"):
            branch = OcclusionFormer.build(embedded_branch())
        _fill(branch, weights / BRANCH_FILE)
    text, tokenizer = packaged_text_model(), packaged_tokenizer()
    return OcclusionFormerPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=PixelCodec(),
        text_encoder=text,
        tokenizer=tokenizer,
        text_encoder_2=text,
        tokenizer_2=tokenizer,
        transformer=transformer,
        branch=branch,
        max_sequence_length=TEXT_TOKENS,
        default_steps=STEPS,
        default_guidance=1.0,
        default_grounding_ratio=1.0,
        default_size=CANVAS,
        captions_in_prompt=False,
    )


def _fill(module: nn.Module, path: Path) -> None:
    """Assign the weights of a file, all of them and no others; copies, so that alignment does not change rounding."""
    stored, _ = read_tensors(path)
    check_tensors(path, stored, {name: value.shape for name, value in module.state_dict().items()})
    module.load_state_dict({name: value.to(torch.float32, copy=True) for name, value in stored.items()}, assign=True)
    module.requires_grad_(False)
    module.eval()
