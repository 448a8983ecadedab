"""Pictures on their way, as a generator shows them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occlusionformer.embedded.codec import PixelCodec
from occlusionformer.generation import FormingPictures, GenerationRequest, PreviewingGenerator
from occlusionformer.pipelines import OcclusionFormerPipeline, PipelineGenerator
from occlusionformer.pipelines.inputs import CallCanvas
from occlusionformer.pipelines.preview import Previews
from occlusionformer.tensors.grid import TokenGrid
from tests.pipelines.tiny import flux_components, seeded, three_apart, tiny_branch, two_overlapping

STEPS = 4


@pytest.fixture(scope="module")
def generator(pipeline) -> PipelineGenerator:
    return PipelineGenerator(pipeline, model="tiny", batch_size=2)


def watched(generator: PipelineGenerator, requests):
    seen: list[tuple[FormingPictures, list[np.ndarray]]] = []

    def keep(forming: FormingPictures) -> None:
        seen.append((forming, [np.asarray(image).astype(int) for image in forming.images()]))

    return generator.generate_watched(requests, on_step=None, on_preview=keep), seen


def request(seed: int = 5, **fields) -> GenerationRequest:
    return GenerationRequest(layout=two_overlapping(), seed=seed, steps=STEPS, grounding_ratio=1.0, **fields)


def test_it_previews(generator):
    assert isinstance(generator, PreviewingGenerator)


def test_looking_changes_nothing(generator):
    [watched_picture], seen = watched(generator, [request()])
    [picture] = generator.generate([request()])
    np.testing.assert_array_equal(np.asarray(watched_picture.image), np.asarray(picture.image))
    assert [forming.step for forming, _ in seen] == [1, 2, 3, 4]
    assert {forming.total for forming, _ in seen} == {STEPS}


def test_the_last_preview_is_the_picture(generator):
    [picture], seen = watched(generator, [request()])
    np.testing.assert_array_equal(seen[-1][1][0], np.asarray(picture.image))


def test_a_preview_is_the_picture_of_a_jump_to_the_end(pipeline, generator):
    """With the same noise levels up to that step and none after it."""
    _, seen = watched(generator, [request()])
    levels = np.linspace(1.0, 1 / STEPS, STEPS)
    for done in (1, 2, 3):
        jump = pipeline(
            layout=two_overlapping(), generator=seeded(5), sigmas=levels[:done].tolist(), grounding_ratio=1.0
        ).images[0]
        assert np.abs(seen[done - 1][1][0] - np.asarray(jump).astype(int)).max() <= 1  # the line is rounded


def test_positions_name_the_requests(generator):
    other = GenerationRequest(layout=three_apart(), seed=1, steps=2)
    results, seen = watched(generator, [request(1), other, request(2), request(3)])
    assert {forming.positions for forming, _ in seen} == {(0, 2), (3,), (1,)}
    for forming, images in seen:
        assert len(images) == len(forming.positions)
    last_of_batch = {forming.positions: images for forming, images in seen}
    for positions, images in last_of_batch.items():
        for position, image in zip(positions, images, strict=True):
            np.testing.assert_array_equal(image, np.asarray(results[position].image))


def test_defaults_are_the_pipelines(pipeline, generator):
    defaults = generator.defaults
    [drawn] = generator.generate([GenerationRequest(layout=two_overlapping(), seed=1)])
    assert (defaults.steps, defaults.guidance, defaults.grounding_ratio) == tuple(
        drawn.provenance[name] for name in ("steps", "guidance", "grounding_ratio")
    )
    assert defaults.side_multiple == pipeline.vae_scale_factor * 2


def test_an_offloaded_decoder_is_left_alone(pipeline, monkeypatch):
    """Colours are learned from the first picture instead."""
    monkeypatch.setattr(pipeline.vae, "_hf_hook", object(), raising=False)
    generator = PipelineGenerator(pipeline, model="tiny")
    decodings = []
    decode = pipeline.vae.decode
    monkeypatch.setattr(pipeline.vae, "decode", lambda *given, **named: decodings.append(1) or decode(*given, **named))
    _, seen = watched(generator, [request()])
    assert seen == []
    [picture], seen = watched(generator, [request(6)])
    assert [forming.step for forming, _ in seen] == [1, 2, 3, 4]
    assert len(decodings) == 2
    assert seen[-1][1][0].shape == np.asarray(picture.image).shape


# Learned colours, over a codec for which they are exact: each pixel is one channel

CANVAS = CallCanvas(height=64, width=96, grid=TokenGrid(4, 6))


@pytest.fixture(scope="module")
def linear() -> OcclusionFormerPipeline:
    codec = PixelCodec()
    components = flux_components(latent_channels=codec.config.latent_channels)
    return OcclusionFormerPipeline(**{**components, "vae": codec}, branch=tiny_branch(components["transformer"]))


def latents(pipeline: OcclusionFormerPipeline, count: int, seed: int) -> torch.Tensor:
    """Far enough from black and white that nothing is cut off."""
    tokens = CANVAS.grid.height * CANVAS.grid.width, pipeline.transformer.config.in_channels
    return 0.2 * torch.randn(count, *tokens, generator=torch.Generator().manual_seed(seed))


def blocks(image) -> np.ndarray:
    """Mean colours of the 8 x 8 pixels of a latent position."""
    return np.asarray(image).astype(float).reshape(8, 8, 12, 8, 3).mean((1, 3))


def test_learned_colours_are_the_means_of_what_a_linear_decoder_draws(linear, monkeypatch):
    decode = Previews(linear).decoder(CANVAS)
    monkeypatch.setattr(linear.vae, "_hf_hook", object(), raising=False)
    previews = Previews(linear)
    assert previews.decoder(CANVAS) is None
    finished = latents(linear, 8, 0)
    previews.learn(CANVAS, finished, decode(finished))
    others = latents(linear, 2, 1) + torch.tensor([0.3, -0.3])[:, None, None]
    for shown, drawn in zip(previews.decoder(CANVAS)(others), decode(others), strict=True):
        assert shown.size == drawn.size == (96, 64)
        assert np.abs(np.asarray(shown.resize((12, 8), 0)) - blocks(drawn)).max() < 6  # the preview is smoothed
        assert np.ptp(blocks(drawn)) > 12
