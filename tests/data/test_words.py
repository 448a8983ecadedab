"""Captions are true, varied and read as English."""

from __future__ import annotations

import numpy as np

from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.backgrounds import COLOURS, make_background
from occlusionformer.data.words import caption, with_article
from tests.tables import for_each


@for_each("item", packaged_art().objects, ids=lambda item: item.name)
def test_a_caption_names_its_object(item):
    rng = np.random.default_rng(0)
    names = (item.name, *item.synonyms)
    allowed = {*names, *(f"{adjective} {name}" for adjective in item.adjectives for name in names)}
    for _ in range(40):
        text = caption(item, rng)
        assert text == text.lower()
        assert text.removeprefix("a ").removeprefix("an ") in allowed


def test_captions_of_an_object_vary():
    rng = np.random.default_rng(0)
    texts = {caption(packaged_art().named("dog"), rng) for _ in range(200)}
    assert {"dog", "a dog", "a puppy", "a brown dog"} <= texts


@for_each(
    ("noun", "expected"),
    [
        ("dog", "a dog"),
        ("owl", "an owl"),
        ("umbrella", "an umbrella"),
        ("ufo", "a ufo"),
        ("ewe", "a ewe"),
        ("grapes", "grapes"),
        ("red cherries", "red cherries"),
        ("bunch of grapes", "a bunch of grapes"),
        ("slice of pizza", "a slice of pizza"),
        ("loaf of bread", "a loaf of bread"),
        ("bread", "bread"),
        ("cup of coffee", "a cup of coffee"),
        ("white cup with straw", "a white cup with straw"),
    ],
)
def test_articles(noun, expected):
    assert with_article(noun) == expected


def test_backgrounds_have_the_colour_they_name():
    for seed in range(40):
        background = make_background(32, np.random.default_rng(seed))
        assert background.pixels.shape == (32, 32, 3)
        assert background.pixels.dtype == np.float32
        assert 0 <= background.pixels.min() <= background.pixels.max() <= 255
        named = [colour for colour in COLOURS if colour in background.prompt]
        top = background.pixels[0, 0]
        assert min(np.abs(top - COLOURS[colour]).max() for colour in named) <= 10, background.prompt
