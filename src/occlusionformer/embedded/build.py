"""The pipeline of the packaged model, put together from its weights: the same classes that run FLUX.1-dev."""

from __future__ import annotations

import occlusionformer.model  # noqa: F401 - before anything else imports diffusers

# isort: split
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import nn

from occlusionformer.embedded.autoencoder import SceneAutoencoder
from occlusionformer.embedded.config import LOOKS_PLACED, backbone_settings, branch_config, look_places
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import packaged_text_model, packaged_tokenizer
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.methods.registry import load_method
from occlusionformer.model import LayoutFluxTransformer2DModel, Method
from occlusionformer.model.backbones.libraries import libraries_standing_in
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.loading import LOADING
from occlusionformer.tensors.files import check_tensors, read_tensors

BACKBONE_FILE, BRANCH_FILE = "backbone.safetensors", "branch.safetensors"
BRANCH_FOLDER = "branch"


def embedded_pipeline(weights: Path | None = None) -> OcclusionFormerPipeline:
    """A ready pipeline in float32 on the CPU; nothing is downloaded.

    weights: a folder with `backbone.safetensors` and `branch.safetensors`, stored in any float format, or as training
    leaves it: with `branch/`, which says what method it is; a backbone that was not trained is the packaged one.
    Raises CheckpointError for files that are damaged or hold the weights of another model.
    """
    with LOADING, libraries_standing_in():
        return _built(EMBEDDED.weights if weights is None else weights)


def _built(folder: Path) -> OcclusionFormerPipeline:
    with torch.device("meta"):
        transformer = LayoutFluxTransformer2DModel(**backbone_settings(), prediction_type="sample")
    trained = (folder / BRANCH_FOLDER).is_dir()
    frozen = trained and not (folder / BACKBONE_FILE).is_file()
    _fill(transformer, (EMBEDDED.weights if frozen else folder) / BACKBONE_FILE)
    if trained:
        branch: Method = load_method(folder / BRANCH_FOLDER).to(torch.float32)
        branch.requires_grad_(False)
    else:
        with torch.device("meta"):
            branch = OcclusionFormer.build(branch_config())
        _fill(branch, folder / BRANCH_FILE)
    return assembled(transformer=transformer, branch=branch, vae=packaged_codec())


def packaged_codec(folder: Path | None = None) -> nn.Module:
    """What makes tokens of pixels, in float32; folder: another autoencoder in place of the packaged one."""
    codec: SceneAutoencoder = SceneAutoencoder.from_pretrained(folder or EMBEDDED.codec, local_files_only=True)
    return codec.float().requires_grad_(False)


def assembled(**parts: Any) -> OcclusionFormerPipeline:
    """The pipeline of the packaged model, or of one that shares its words and sampler.

    parts: transformer, branch and vae; further arguments of the pipeline go before those of the model.
    """
    text, tokenizer = packaged_text_model(), packaged_tokenizer()
    if parts["transformer"].config.get("text_places"):
        text.register_to_config(look_start=EMBEDDED.look_start)
    settings = {
        "max_sequence_length": EMBEDDED.text_tokens,
        "default_steps": EMBEDDED.steps,
        "default_guidance": 1.0,
        "default_grounding_ratio": 1.0,
        "default_size": EMBEDDED.canvas,
        "captions_in_prompt": False,
    }
    return OcclusionFormerPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=EMBEDDED.shift),
        text_encoder=text,
        tokenizer=tokenizer,
        text_encoder_2=text,
        tokenizer_2=tokenizer,
        **(settings | parts),
    )


def _fill(module: nn.Module, path: Path) -> None:
    """Assign the weights of a file, all of them and no others; copies, so that alignment does not change rounding."""
    stored, said = read_tensors(path)
    check_tensors(path, stored, {name: value.shape for name, value in module.state_dict().items()})
    if isinstance(module, LayoutFluxTransformer2DModel) and said.items() >= LOOKS_PLACED.items():
        module.register_to_config(text_places=look_places())
    module.load_state_dict({name: value.to(torch.float32, copy=True) for name, value in stored.items()}, assign=True)
    module.requires_grad_(False)
    module.eval()
