"""A host and the modular blocks read captions as a call of the pipeline does: same length, same scale of a LoRA."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from peft import LoraConfig

from occlusionformer.model import Method, backbone_shape
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.folder import SETTINGS
from tests.methods import zoo
from tests.model.tiny import randomise
from tests.pipelines.tiny import flux_components, seeded, tiny_branch, two_overlapping

CALL: dict[str, Any] = {
    "prompt": "a garden", "height": 64, "width": 96, "num_inference_steps": 3, "guidance_scale": 3.5,
    "output_type": "pt",
}  # fmt: skip
LENGTH = 24
"""Tokens of the prompt that the model reads unless told otherwise."""


def over(name: str, *, lora: bool) -> tuple[OcclusionFormerPipeline, dict[str, Any]]:
    """A pipeline with a random method, with a LoRA on CLIP or none, and its components."""
    parts = flux_components()
    transformer = parts["transformer"]
    branch: Method = tiny_branch(transformer)
    if name != "occlusionformer":
        branch = zoo.builders(backbone_shape(transformer))[name]()
        randomise(branch, 7)
        branch = branch.to(transformer.dtype).eval()
    if lora:
        layers = ["q_proj", "k_proj", "v_proj", "out_proj"]
        parts["text_encoder"].add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=layers, init_lora_weights=False))
    made = OcclusionFormerPipeline(
        **parts, branch=branch, max_sequence_length=LENGTH, default_grounding_ratio=1.0, default_size=64
    )
    made.set_progress_bar_config(disable=True)
    return made, {**parts, "branch": branch}


CASES = (
    ("occlusionformer", True, None, None), ("occlusionformer", True, None, 0.0), ("occlusionformer", True, 8, 0.5),
    ("eligen", False, 8, None), ("larender", False, 8, None),
)  # fmt: skip
"""Method, whether CLIP has a LoRA, tokens of the prompt, scale of the LoRA."""


def reading(length: int | None, scale: float | None) -> dict[str, Any]:
    given: dict[str, Any] = {} if length is None else {"max_sequence_length": length}
    return given if scale is None else {**given, "joint_attention_kwargs": {"scale": scale}}


@pytest.mark.parametrize(("name", "lora", "length", "scale"), CASES)
def test_a_host_reads_captions_as_the_pipeline_does(name, lora, length, scale):
    made, _ = over(name, lora=lora)
    expected = made(layout=two_overlapping(), **CALL, **reading(length, scale), generator=seeded(0)).images
    host = FluxPipeline.from_pipe(made)
    host.set_progress_bar_config(disable=True)
    ready = made.prepare(
        two_overlapping(), height=64, width=96, num_inference_steps=3, max_sequence_length=length, lora_scale=scale
    )
    passed = {**reading(length or LENGTH, scale)}
    passed["joint_attention_kwargs"] = {**passed.get("joint_attention_kwargs", {}), "layout": ready}
    torch.testing.assert_close(host(**CALL, **passed, generator=seeded(0)).images, expected, rtol=0, atol=1e-5)
    if scale is not None:
        otherwise = made(layout=two_overlapping(), **CALL, **reading(length, 1.0), generator=seeded(0)).images
        assert (otherwise - expected).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "lora", "length", "scale"), CASES)
def test_the_modular_blocks_read_captions_as_the_pipeline_does(name, lora, length, scale):
    pytest.importorskip("diffusers.modular_pipelines")
    from occlusionformer.pipelines.modular import LayoutBlocks

    made, parts = over(name, lora=lora)
    expected = made(layout=two_overlapping(), **CALL, **reading(length, scale), generator=seeded(0)).images
    modular = LayoutBlocks().init_pipeline()
    modular.update_components(**parts, **{setting: made.config[setting] for setting in SETTINGS})
    modular.set_progress_bar_config(disable=True)
    found = modular(layout=two_overlapping(), **CALL, **reading(length, scale), generator=seeded(0), output="images")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
