"""Without a layout the pipeline is FluxPipeline, bit for bit, before and after calls with one."""

from __future__ import annotations

import pytest
import torch

from occlusionformer.layout import Layout
from tests.pipelines.tiny import seeded, stock_pipeline, two_overlapping
from tests.tables import for_each

CALL = {"height": 64, "width": 96, "num_inference_steps": 3, "max_sequence_length": 24, "output_type": "pt"}

VARIATIONS = {
    "plain": {},
    "two prompts": {"prompt": ["a red cat", "a blue dog"]},
    "second prompt": {"prompt_2": "a lamp"},
    "guidance": {"guidance_scale": 1.5},
    "true guidance": {"negative_prompt": "a lamp", "true_cfg_scale": 2.0},
    "several images": {"num_images_per_prompt": 2},
    "own noise levels": {"sigmas": [1.0, 0.7, 0.2]},
    "latents out": {"output_type": "latent"},
}


@for_each("name", VARIATIONS)
def test_no_layout_is_flux_pipeline(pipeline, name):
    arguments = {"prompt": "a red cat", "guidance_scale": 3.5, **CALL, **VARIATIONS[name]}
    count = arguments.get("num_images_per_prompt", 1) * (1 if isinstance(arguments["prompt"], str) else 2)
    stock = stock_pipeline(pipeline)(**arguments, generator=seeded(*range(count))).images
    assert torch.equal(pipeline(**arguments, generator=seeded(*range(count))).images, stock)


def test_defaults_are_those_of_flux_dev(pipeline):
    """28 steps at guidance 3.5 and 512 text tokens, where the model says nothing else."""
    from occlusionformer.pipelines import OcclusionFormerPipeline

    components = pipeline.components
    plain = OcclusionFormerPipeline(**components)
    assert (plain.config.default_steps, plain.config.default_guidance) == (28, 3.5)
    assert (plain.config.max_sequence_length, plain.config.default_size) == (512, 1024)
    assert plain.config.default_grounding_ratio == 0.3
    assert plain.config.prediction_type == "velocity"


@pytest.mark.parametrize(
    "idle",
    [
        {"layout": two_overlapping(), "strength": 0.0},
        {"layout": two_overlapping(), "grounding_ratio": 0.0},
        {"layout": two_overlapping(), "grounding_ratio": 0.3, "truncate_grounding": True},
        {"layout": Layout(prompt="a garden", width=96, height=64)},
        {"layout": [None]},
    ],
    ids=["strength 0", "ratio 0", "ratio below one step", "no instances", "list of None"],
)
def test_idle_layout_is_flux_pipeline(pipeline, idle):
    stock = stock_pipeline(pipeline)("a red cat", **CALL, guidance_scale=3.5, generator=seeded(0)).images
    assert torch.equal(pipeline("a red cat", **CALL, **idle, generator=seeded(0)).images, stock)


def test_a_layout_leaves_no_trace(pipeline):
    plain = {"prompt": "a red cat", **CALL}
    before = pipeline(**plain, generator=seeded(0)).images
    drawn = pipeline(**plain, layout=two_overlapping(), grounding_ratio=1.0, generator=seeded(0)).images
    after = pipeline(**plain, generator=seeded(0)).images
    assert torch.equal(before, after)
    assert not torch.equal(before, drawn)


def test_plain_steps_after_the_layout_are_the_backbones(pipeline):
    """From the same latents, the steps after the layout's share equal those of FluxPipeline."""
    sigmas = [1.0, 0.75, 0.5, 0.25]
    captured = {}

    def capture(pipe, step, timestep, tensors):
        captured[step] = tensors["latents"].clone()
        return tensors

    pipeline(
        "a red cat", layout=two_overlapping(), sigmas=sigmas, grounding_ratio=0.5, output_type="latent",
        generator=seeded(0), callback_on_step_end=capture,
    )  # fmt: skip
    stock = stock_pipeline(pipeline)

    def resume(pipe, step, timestep, tensors):
        return {"latents": captured[1]} if step == 1 else {}

    continued = stock(
        "a red cat", height=64, width=96, sigmas=sigmas, max_sequence_length=24, output_type="latent",
        generator=seeded(0), callback_on_step_end=resume,
    ).images  # fmt: skip
    assert torch.equal(captured[3], continued)
