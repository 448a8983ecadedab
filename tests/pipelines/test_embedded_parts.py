"""What is made for FLUX's components, over those of the embedded model: its autoencoder is a learned one too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import FluxImg2ImgPipeline
from PIL import Image

from occlusionformer.embedded.build import embedded_pipeline
from occlusionformer.generation import GenerationRequest
from occlusionformer.layout import Layout
from occlusionformer.pipelines import OcclusionFormerPipeline, PipelineGenerator
from occlusionformer.pipelines.hub import example_layout

SIDE, STEPS = 96, 2
FRUITS = example_layout(SIDE)
ANIMALS = Layout.model_validate(
    {
        "prompt": "a plain yellow background",
        "width": SIDE,
        "height": SIDE,
        "instances": [
            {"id": "dog", "caption": "a dog", "box": [0.05, 0.1, 0.6, 0.9]},
            {"id": "cat", "caption": "a grey cat", "box": [0.4, 0.2, 0.95, 0.95]},
        ],
        "order": {"front_to_back": ["cat", "dog"]},
    }
)


@pytest.fixture
def pipeline() -> OcclusionFormerPipeline:
    made = embedded_pipeline()
    made.set_progress_bar_config(disable=True)
    return made


def request(layout: Layout) -> GenerationRequest:
    return GenerationRequest(layout=layout, seed=0, steps=STEPS)


def drawn(pipeline: OcclusionFormerPipeline) -> Image.Image:
    [result] = PipelineGenerator(pipeline, model="embedded").generate([request(FRUITS)])
    return result.image


def blocks(image: Image.Image) -> np.ndarray:
    """Mean colours of the 8 x 8 pixels of a latent position, 0 to 255."""
    return np.asarray(image).astype(float).reshape(SIDE // 8, 8, SIDE // 8, 8, 3).mean((1, 3))


def test_model_offload_draws_the_same(pipeline):
    expected = np.asarray(drawn(pipeline))
    pipeline.enable_model_cpu_offload(device="cpu")
    np.testing.assert_array_equal(np.asarray(drawn(pipeline)), expected)


def test_colours_learned_from_one_picture_show_another_on_its_way(pipeline):
    """As they do with an offloaded decoder; latents of an autoencoder are near enough to colours."""
    pipeline.vae._hf_hook = object()
    generator = PipelineGenerator(pipeline, model="embedded")
    generator.generate_watched([request(FRUITS)], on_step=None, on_preview=lambda forming: None)
    seen = []
    [result] = generator.generate_watched(
        [request(ANIMALS)], on_step=None, on_preview=lambda forming: seen.append(forming.images()[0])
    )
    assert len(seen) == STEPS
    picture = blocks(result.image)
    spread = np.abs(picture - picture.mean((0, 1))).mean()
    assert np.abs(blocks(seen[-1]) - picture).mean() < spread / 3


def test_a_picture_to_start_from_is_read_by_the_autoencoder(pipeline):
    """The last sixth of the steps, with the layout, leaves it as it was."""
    names = ("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "transformer")
    host = FluxImg2ImgPipeline(**{name: getattr(pipeline, name) for name in names})
    host.set_progress_bar_config(disable=True)
    picture = drawn(pipeline)
    again = host(
        prompt=FRUITS.prompt,
        image=picture,
        height=SIDE,
        width=SIDE,
        num_inference_steps=6,
        strength=1 / 6,
        generator=torch.Generator().manual_seed(1),
        joint_attention_kwargs={"layout": pipeline.prepare(FRUITS, num_inference_steps=6, denoising_strength=1 / 6)},
        max_sequence_length=pipeline.config.max_sequence_length,
    ).images[0]
    found, expected = blocks(again), blocks(picture)
    assert np.abs(found - expected).mean() < np.abs(expected - expected.mean((0, 1))).mean() / 3
    assert (np.asarray(again) != np.asarray(picture)).any()
