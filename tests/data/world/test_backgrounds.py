"""Backgrounds are what their words say."""

from __future__ import annotations

import numpy as np

from occlusionformer.data.world.backgrounds import JITTER, KINDS, WALLS, draw_background
from tests.tables import for_each


@for_each("kind", list(KINDS))
def test_a_background_is_what_its_words_say_whatever_the_scene(kind):
    by_prompt = {}
    for seed in range(60):
        drawn = draw_background(kind, 48, 64, np.random.default_rng(seed))
        assert drawn.pixels.shape == (48, 64, 3)
        assert drawn.pixels.dtype == np.float32
        assert 0 <= drawn.pixels.min() <= drawn.pixels.max() <= 255
        first = by_prompt.setdefault(drawn.prompt, drawn)
        assert np.abs(drawn.pixels - first.pixels).mean() < 8
        assert drawn.ground == first.ground
    assert all(prompt == prompt.lower() for prompt in by_prompt)


@for_each("seed", range(20))
def test_plain_backgrounds_and_gradients_have_the_colours_they_name(seed):
    plain = draw_background("plain", 32, 32, np.random.default_rng(seed))
    name = plain.prompt.removeprefix("a plain ").removesuffix(" background")
    assert np.abs(plain.pixels - WALLS[name]).max() <= JITTER
    ramp = draw_background("gradient", 32, 32, np.random.default_rng(seed))
    above, below = ramp.prompt.removeprefix("a gradient from ").split(" to ")
    assert np.abs(ramp.pixels[0] - WALLS[above]).max() <= JITTER
    assert np.abs(ramp.pixels[-1] - WALLS[below]).max() <= JITTER
