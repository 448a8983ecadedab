"""Captions are true, varied and read as English, and training says nothing that is held out."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from occlusionformer.data.splits import is_held_out_pair
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.captions import (
    caption,
    colours_of,
    held_out_synonym,
    is_held_out_colour,
    training_synonyms,
    with_article,
)
from occlusionformer.data.world.scenes import WorldSpec, choose_coloured
from tests.tables import for_each

ART = world_art()


@for_each("item", ART.objects, ids=lambda item: item.name)
def test_a_caption_names_its_object_and_its_colour(item):
    rng = np.random.default_rng(0)
    names = (item.name, *item.synonyms)
    for colour in (None, *colours_of(item, "any")[:2]):
        extras = item.adjectives if colour is None else (colour,)
        allowed = {f"{extra} {name}" for extra in extras for name in names}
        allowed |= {name for name in names if colour is None or colour in name.split()}
        for _ in range(20):
            text = caption(item, colour, rng)
            assert text == text.lower()
            assert text in allowed or text.removeprefix("a ").removeprefix("an ") in allowed


def test_captions_of_an_object_vary():
    rng = np.random.default_rng(0)
    texts = {caption(ART.named("dog"), None, rng) for _ in range(200)}
    assert {"dog", "a dog", "a puppy", "a tan dog"} <= texts


@for_each(
    ("noun", "phrase"),
    [
        ("apple", "an apple"),
        ("cat", "a cat"),
        ("owl", "an owl"),
        ("bunch of grapes", "a bunch of grapes"),
        ("grapes", "grapes"),
        ("red cherries", "red cherries"),
        ("loaf of bread", "a loaf of bread"),
        ("bread", "bread"),
        ("white cup with straw", "a white cup with straw"),
        ("pair of scissors", "a pair of scissors"),
        ("ewe", "a ewe"),
        ("ufo", "a ufo"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("two people kissing", "two people kissing"),
    ],
)
def test_articles(noun, phrase):
    assert with_article(noun) == phrase


def test_objects_with_one_synonym_keep_it():
    for item in ART.objects:
        assert len(training_synonyms(item)) == max(len(item.synonyms) - 1, min(len(item.synonyms), 1))


def test_training_shows_nothing_that_is_held_out():
    for index in range(120):
        rng = np.random.default_rng(index)
        choices = choose_coloured(rng, spec=WorldSpec(max_instances=6), art=ART)
        assert not any(is_held_out_pair(a.item.name, b.item.name) for a, b in combinations(choices, 2))
        for choice in choices:
            assert choice.colour is None or not is_held_out_colour(choice.item.name, choice.colour)
            said = caption(choice.item, choice.colour, rng)
            word = held_out_synonym(choice.item)
            described = [word, *(f"{extra} {word}" for extra in (choice.colour, *choice.item.adjectives))]
            assert word is None or said not in [*described, *map(with_article, described)]
            assert choice.colour is None or choice.colour in said.split()


def test_held_out_scenes_show_and_say_what_training_never_does():
    spec = WorldSpec(pairs="held-out", wordings="held-out", colours="held-out", recoloured=1.0)
    for index in range(30):
        rng = np.random.default_rng(index)
        choices = choose_coloured(rng, spec=spec, art=ART)
        assert is_held_out_pair(choices[0].item.name, choices[1].item.name)
        assert all(one.colour is None or is_held_out_colour(one.item.name, one.colour) for one in choices)
        for one in choices:
            word = held_out_synonym(one.item)
            assert word is None or caption(one.item, one.colour, rng, wordings="held-out").endswith(word)
