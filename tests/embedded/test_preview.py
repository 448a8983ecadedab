"""Colours learned from latents, over a codec for which they are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from occlusionformer.embedded.build import embedded_pipeline
from occlusionformer.pipelines.inputs import CallCanvas
from occlusionformer.pipelines.preview import Previews
from occlusionformer.tensors.grid import TokenGrid

CANVAS = CallCanvas(height=64, width=96, grid=TokenGrid(4, 6))


@pytest.fixture(scope="module")
def pipeline():
    return embedded_pipeline()


def latents(count: int, seed: int) -> torch.Tensor:
    """Far enough from black and white that nothing is cut off."""
    return 0.2 * torch.randn(count, 24, 768, generator=torch.Generator().manual_seed(seed))


def blocks(image) -> np.ndarray:
    """Mean colours of the 8 x 8 pixels of a latent position."""
    return np.asarray(image).astype(float).reshape(8, 8, 12, 8, 3).mean((1, 3))


def test_learned_colours_are_the_means_of_what_a_linear_decoder_draws(pipeline, monkeypatch):
    decode = Previews(pipeline).decoder(CANVAS)
    monkeypatch.setattr(pipeline.vae, "_hf_hook", object(), raising=False)
    previews = Previews(pipeline)
    assert previews.decoder(CANVAS) is None
    previews.learn(CANVAS, latents(8, 0), decode(latents(8, 0)))
    others = latents(2, 1) + torch.tensor([0.3, -0.3])[:, None, None]
    for shown, drawn in zip(previews.decoder(CANVAS)(others), decode(others), strict=True):
        assert shown.size == drawn.size == (96, 64)
        assert np.abs(np.asarray(shown.resize((12, 8), 0)) - blocks(drawn)).max() < 6  # the preview is smoothed
        assert np.ptp(blocks(drawn)) > 12
