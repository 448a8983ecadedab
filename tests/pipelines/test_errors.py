"""Wrong arguments are refused before anything is encoded, by name and value."""

from __future__ import annotations

import logging
import re
import warnings

import pytest
import torch

from occlusionformer.layout import Box, Instance, Layout
from occlusionformer.model import BackboneShape, OcclusionBranch, instance_assemble, paper
from occlusionformer.pipelines import OcclusionFormerPipeline, TextOverflowWarning
from tests.pipelines.tiny import TOKEN_LIMIT, flux_components, two_overlapping
from tests.tables import for_each

REFUSED = {
    "canvas": (
        {"layout": two_overlapping(width=100, height=70)},
        "height: expected a positive multiple of 16, got 70; width: expected a positive multiple of 16, got 100",
    ),
    "given height": ({"prompt": "a cat", "height": 12}, "height: expected a positive multiple of 16, got 12"),
    "canvases": (
        {"layout": [two_overlapping(), two_overlapping(width=64)]},
        "layout: expected one canvas size for all layouts of a call, got 64x64, 96x64",
    ),
    "ratio": (
        {"layout": two_overlapping(), "grounding_ratio": 1.5},
        "grounding_ratio: expected a number from 0 to 1, got 1.5",
    ),
    "strength and steps": (
        {"layout": two_overlapping(), "strength": -1.0, "num_inference_steps": 0},
        "strength: expected a finite number of at least 0, got -1.0\nnum_inference_steps: expected at least 1, got 0",
    ),
    "masks without layout": (
        {"prompt": "a cat", "output_instance_masks": True},
        "output_instance_masks: expected a layout with instances, active on at least one step",
    ),
    "weights of an idle layout": (
        {"layout": two_overlapping(), "output_weights": True, "num_inference_steps": 1, "truncate_grounding": True},
        "output_weights: expected a layout with instances, active on at least one step; "
        "got grounding_ratio 0.5 of 1 steps",
    ),
    "layouts and prompts": (
        {"prompt": ["a cat", "a dog"], "layout": [two_overlapping()] * 3},
        "layout: expected one per prompt (2), got 3",
    ),
    "no prompt for None": ({"layout": [two_overlapping(), None]}, "prompt: expected one where there is no layout"),
    "not a layout": (
        {"prompt": "a cat", "layout": ["cat"]},
        "layout: expected a Layout, or a list of Layout or None, got a list with str",
    ),
    "empty list": (
        {"layout": []},
        "layout: expected a Layout, or a list of Layout or None, got a list with nothing in it",
    ),
    "second prompts": ({"prompt": ["a", "an"], "prompt_2": ["a"]}, "prompt_2: expected one text or 2, got 1"),
    "negative prompts": (
        {"prompt": "a cat", "negative_prompt": ["a", "b"], "true_cfg_scale": 2.0},
        "negative_prompt: expected one text or 1, got 2",
    ),
    "nothing to draw": ({}, "Provide either `prompt` or `prompt_embeds`"),
    "callback tensors": (
        {"prompt": "a cat", "callback_on_step_end_tensor_inputs": ["noise"]},
        "callback_on_step_end_tensor_inputs",
    ),
    "generators": (
        {"layout": two_overlapping(), "generator": [torch.Generator(), torch.Generator()]},
        "list of generators of length 2, but requested an effective batch size of 1",
    ),
    "images per prompt": (
        {"prompt": "a cat", "num_images_per_prompt": 0},
        "num_images_per_prompt: expected at least 1, got 0 pictures in all",
    ),
    "latents": (
        {"layout": two_overlapping(), "latents": torch.zeros(1, 16, 4, 6)},
        "latents: expected packed tokens (1, 24, 16), got (1, 16, 4, 6)",
    ),
    "text length": (
        {"prompt": "a cat", "max_sequence_length": 1000},
        "`max_sequence_length` cannot be greater than 512",
    ),
}


@for_each("name", REFUSED)
def test_wrong_arguments_are_named(pipeline, name):
    arguments, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        pipeline(**arguments)


def test_callback_has_to_give_tensors_back(pipeline):
    with pytest.raises(TypeError, match="callback_on_step_end: expected a dict of tensors back, got NoneType"):
        pipeline(layout=two_overlapping(), callback_on_step_end=lambda pipe, step, timestep, tensors: None)


def test_masks_need_a_mask_head():
    components = flux_components()
    shape = BackboneShape(num_dual=2, num_single=2, num_heads=2, head_dim=16, pooled_dim=32)
    pipeline = OcclusionFormerPipeline(**components, branch=OcclusionBranch.build(instance_assemble(shape)))
    with pytest.raises(ValueError, match="output_instance_masks: expected a branch with a mask head"):
        pipeline(layout=two_overlapping(), output_instance_masks=True, num_inference_steps=4)


def test_captions_need_a_text_encoder(fresh):
    embeds, pooled, _ = fresh.encode_prompt("a cat", max_sequence_length=24)
    fresh.text_encoder = None
    fresh.tokenizer = None
    with pytest.raises(ValueError, match="layout: expected a pipeline with text_encoder and tokenizer"):
        fresh(layout=two_overlapping(), prompt_embeds=embeds, pooled_prompt_embeds=pooled)
    images = fresh(prompt_embeds=embeds, pooled_prompt_embeds=pooled, output_type="pt").images
    assert torch.isfinite(images).all()


def test_branch_of_another_backbone_is_refused():
    other = BackboneShape(num_dual=4, num_single=2, num_heads=4, head_dim=16, pooled_dim=48)
    with pytest.raises(ValueError, match="branch") as caught:
        OcclusionFormerPipeline(**flux_components(), branch=OcclusionBranch.build(paper(other)))
    assert str(caught.value).splitlines() == [
        "branch: expected num_heads 2 as in the transformer, got 4",
        "branch: expected pooled_dim 32 as in the transformer, got 48",
        "branch: expected dual_blocks below 2, got (0, 3)",
    ]


def test_unknown_prediction_type_is_refused():
    with pytest.raises(ValueError, match="prediction_type: expected 'velocity' or 'sample', got 'noise'"):
        OcclusionFormerPipeline(**flux_components(), branch=None, prediction_type="noise")


def long_layout() -> Layout:
    caption = " ".join(["red"] * 30)
    return Layout(
        prompt="a garden",
        width=64,
        height=64,
        instances=(
            Instance(id="short", caption="a cat", box=Box(0, 0, 0.5, 0.5)),
            Instance(id="long", caption=caption, box=Box(0.5, 0.5, 1, 1)),
        ),
    )


def test_text_overflow_warns_once_with_counts(pipeline, caplog):
    with caplog.at_level(logging.WARNING), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline(layout=long_layout(), output_type="latent")
    own = [str(entry.message) for entry in caught if entry.category is TextOverflowWarning]
    caption = 30
    clip_prompt = len(["a", "garden", ",", "a", "cat", ","]) + caption + len(("<start>", "<end>"))
    assert own == [
        f"text beyond an encoder's limit is not read: text_encoder reads {TOKEN_LIMIT} tokens, "
        f"layout 0 instance 1 has {caption + 2}, prompt 0 has {clip_prompt}; "
        f"text_encoder_2 reads 24 tokens, prompt 0 has {clip_prompt - 1}"
    ]
    assert own[0] in caplog.text


def test_short_text_does_not_warn(pipeline):
    with warnings.catch_warnings():
        warnings.simplefilter("error", TextOverflowWarning)
        pipeline(layout=two_overlapping(), output_type="latent")


@pytest.mark.parametrize("layout", [None, two_overlapping()], ids=["no layout", "layout"])
def test_given_sides_are_rounded_down_as_flux_pipeline_does_it(pipeline, layout, caplog):
    with caplog.at_level(logging.WARNING):
        image = pipeline("a cat", layout=layout, height=70, width=57).images[0]
    assert image.size == (48, 64)
    assert "height: expected a multiple of 16, got 70; drawn at 64" in caplog.text
    assert "width: expected a multiple of 16, got 57; drawn at 48" in caplog.text
