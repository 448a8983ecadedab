"""The layout as an input of diffusers' modular pipeline: the same pictures as OcclusionFormerPipeline and its hosts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxTransformer2DModel
from PIL import Image

pytest.importorskip("diffusers.modular_pipelines")

from occlusionformer.model import LayoutFluxTransformer2DModel
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.folder import SETTINGS
from occlusionformer.pipelines.modular import LayoutBlocks
from tests.pipelines.tiny import flux_components, seeded, stock_pipeline, three_apart, tiny_branch, two_overlapping

CALL: dict[str, Any] = {"num_inference_steps": 4, "output_type": "pt"}
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    found = flux_components()
    return {**found, "branch": tiny_branch(found["transformer"])}


@pytest.fixture(scope="module")
def pipeline(components) -> OcclusionFormerPipeline:
    made = OcclusionFormerPipeline(**components, max_sequence_length=24, default_grounding_ratio=0.5, default_size=64)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def modular(components, pipeline):
    """Over a stock transformer, with the settings that a folder's index would name."""
    made = LayoutBlocks().init_pipeline()
    made.update_components(**components, **{name: pipeline.config[name] for name in SETTINGS})
    made.set_progress_bar_config(disable=True)
    return made


def drawn(modular, **arguments) -> torch.Tensor:
    return modular(**{**CALL, **arguments}, generator=seeded(0), output="images")


def test_it_draws_what_the_pipeline_draws(modular, pipeline):
    assert type(modular.transformer) is FluxTransformer2DModel
    found = drawn(modular, layout=two_overlapping())
    assert isinstance(modular.transformer, LayoutFluxTransformer2DModel)
    torch.testing.assert_close(found, pipeline(layout=two_overlapping(), **CALL, generator=seeded(0)).images, **CLOSE)
    others = {"grounding_ratio": 1.0, "prompt": "a kitchen", "width": 64, "guidance_scale": 2.0}
    one = drawn(modular, layout=two_overlapping(), layout_strength=0.5, **others)
    other = pipeline(layout=two_overlapping(), strength=0.5, **others, **CALL, generator=seeded(0)).images
    assert one.shape == (1, 3, 64, 64)
    torch.testing.assert_close(one, other, **CLOSE)


def test_several_layouts_and_pictures(modular, pipeline):
    layouts = [two_overlapping(), None, three_apart()]
    texts = {"prompt": ["a cat", "a dog", "a cup"], "height": 64, "width": 96}
    seeds = seeded(*range(6))
    found = modular(**CALL, **texts, layout=layouts, num_images_per_prompt=2, generator=seeds, output="images")
    expected = pipeline(**CALL, **texts, layout=layouts, num_images_per_prompt=2, generator=seeded(*range(6))).images
    torch.testing.assert_close(found, expected, **CLOSE)


def test_without_a_layout_it_is_flux(modular, pipeline):
    texts = {"prompt": "a garden", "height": 64, "width": 96}
    expected = stock_pipeline(pipeline)(**CALL, **texts, max_sequence_length=24, generator=seeded(0)).images
    torch.testing.assert_close(drawn(modular, **texts), expected, **CLOSE)


def test_the_models_own_numbers_are_used(modular, pipeline):
    state = modular(layout=two_overlapping(), output_type="latent", generator=seeded(0))
    assert state.get("num_inference_steps") == pipeline.config.default_steps == 28
    assert (state.get("height"), state.get("width")) == (64, 96)
    assert state.get("prompt") == ["a garden, a red cat, a blue dog"]


def test_a_picture_to_start_from(modular, pipeline):
    """Of the steps that are run, the layout acts on its share."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    given = {"image": photo, "strength": 0.75, "prompt": "a garden", "height": 64, "width": 96}
    ready = pipeline.prepare(two_overlapping(), num_inference_steps=4, denoising_strength=0.75)
    host = FluxImg2ImgPipeline.from_pipe(pipeline)
    host.set_progress_bar_config(disable=True)
    expected = host(
        **given, **CALL, max_sequence_length=24, guidance_scale=3.5, generator=seeded(0)[0],
        joint_attention_kwargs={"layout": ready},
    ).images  # fmt: skip
    found = modular(**given, **CALL, layout=two_overlapping(), generator=seeded(0)[0], output="images")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"layout": [two_overlapping()], "prompt": ["a", "b"]}, r"layout: expected one per prompt \(2\), got 1"),
        ({"layout": "cat"}, "layout: expected a Layout, or a list of Layout or None, got a list with str"),
        ({"layout": two_overlapping(), "grounding_ratio": 2}, "grounding_ratio: expected a number from 0 to 1, got 2"),
        ({"layout": two_overlapping(), "layout_strength": -1}, "strength: expected a finite number of at least 0"),
    ],
)
def test_wrong_arguments_are_named(modular, arguments, expected):
    with pytest.raises(ValueError, match=expected):
        modular(**CALL, **arguments)


def test_a_model_without_a_branch_refuses_layouts(components):
    bare = LayoutBlocks().init_pipeline()
    bare.update_components(**{**components, "branch": None})
    with pytest.raises(ValueError, match="layout: expected a pipeline with a branch, got one with branch=None"):
        bare(**CALL, layout=two_overlapping())
