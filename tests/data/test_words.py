"""Captions are true, varied and read as English."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.backgrounds import COLOURS, make_background
from occlusionformer.data.scenes import SceneDataset, SceneSpec
from occlusionformer.data.splits import is_held_out_pair
from occlusionformer.data.words import caption, held_out_synonym, training_synonyms, with_article
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


SMALL = {"size": 32, "stretch": 1.0}


@pytest.mark.parametrize("seed", [0, 1])
def test_training_scenes_show_no_held_out_pair_and_no_held_out_word(seed):
    for scene in SceneDataset(seed, 120, spec=SceneSpec(**SMALL)):
        assert not any(is_held_out_pair(a.name, b.name) for a, b in combinations(scene.instances, 2))
        for item in scene.instances:
            drawn = packaged_art().named(item.name)
            nouns = (drawn.name, *training_synonyms(drawn))
            used = max((noun for noun in nouns if item.caption.endswith(noun)), key=len)
            assert used != held_out_synonym(drawn)


def test_held_out_scenes_have_a_held_out_pair_and_held_out_words():
    for scene in SceneDataset(0, 40, spec=SceneSpec(pairs="held-out", wordings="held-out", **SMALL)):
        assert any(is_held_out_pair(a.name, b.name) for a, b in combinations(scene.instances, 2))
        for item in scene.instances:
            word = held_out_synonym(packaged_art().named(item.name))
            assert word is None or item.caption.endswith(word)


def test_objects_with_one_synonym_keep_it():
    for item in packaged_art().objects:
        assert len(training_synonyms(item)) == max(len(item.synonyms) - 1, min(len(item.synonyms), 1))


def test_unknown_parts_are_refused_together():
    with pytest.raises(ValueError, match=r"pairs: expected one of training, held-out, any, got 'all'\nwordings: "):
        SceneSpec(pairs="all", wordings="none")  # type: ignore[arg-type]
