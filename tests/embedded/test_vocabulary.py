"""What the embedded model knows by name, and what it draws for what it does not know."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from occlusionformer.data.world.artwork import world_art
from occlusionformer.embedded.nearest import NearestObjects
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.embedded.vocabulary import packaged_vocabulary
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.generation.vocabulary import UnknownCaptionWarning
from occlusionformer.layout import Box, Instance, Layout, read_layout
from tools.rebuild_vocabulary import vocabulary_of_art, written


@pytest.fixture(scope="module")
def nearest() -> NearestObjects:
    return NearestObjects(packaged_vocabulary(), packaged_reader())


def layout(*captions: str) -> Layout:
    instances = (Instance(id=f"i{n}", caption=text, box=Box(0.1, 0.1, 0.8, 0.9)) for n, text in enumerate(captions))
    return Layout(prompt="a plain wall", width=32, height=32, instances=tuple(instances))


def test_the_packaged_vocabulary_is_the_art_that_is_trained_on():
    known = vocabulary_of_art()
    assert packaged_vocabulary() == known
    assert EMBEDDED.vocabulary.read_text(encoding="utf-8") == written(known)
    assert [item.name for item in known.objects] == [item.name for item in world_art().objects]


def test_the_vocabulary_holds_no_word_that_is_read_as_another_object(nearest: NearestObjects):
    """Such as "dark glasses", which training never says, and which would be drawn as clear ones."""
    objects = packaged_vocabulary().objects
    assert [nearest.of(word).name for item in objects for word in item.words] == [
        item.name for item in objects for _ in item.words
    ]
    assert packaged_vocabulary().object_in("a grey ufo").name == "flying saucer"
    assert packaged_vocabulary().object_in("an alien spaceship").name == "flying saucer"
    left_out = sum(len(item.synonyms) for item in world_art().objects) - sum(len(item.synonyms) for item in objects)
    assert 0 < left_out < 20


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("chandelier", "light bulb"),
        ("an armchair", "chair"),
        ("a kitty", "cat"),
    ],
)
def test_what_is_not_known_is_the_nearest_that_is(nearest: NearestObjects, caption: str, name: str):
    assert packaged_vocabulary().object_in(caption) is None
    assert nearest.of(caption).name == name


def test_known_words_are_nearest_to_their_own_object(nearest: NearestObjects):
    names = [item.name for item in packaged_vocabulary().objects]
    assert [nearest.of(f"a {name}").name for name in names] == names


def test_a_caption_of_no_word_has_no_nearest(nearest: NearestObjects):
    assert nearest.of("") is None


def test_drawing_warns_of_each_unknown_caption_once():
    generator = load_generator("embedded")
    requests = [
        GenerationRequest(layout=layout("a black cat sitting", "chandelier", "an armchair"), seed=1, steps=1),
        GenerationRequest(layout=layout("chandelier", "a dog"), seed=1, steps=1),
    ]
    with pytest.warns(UnknownCaptionWarning) as caught:
        drawn = generator.generate(requests)
    assert len(drawn) == 2
    assert [str(warning.message) for warning in caught] == [
        "instances[1].caption: no object for 'chandelier': nearest is 'light bulb'",
        "instances[2].caption: no object for 'an armchair': nearest is "
        f"{NearestObjects(packaged_vocabulary(), packaged_reader()).of('an armchair').name!r}",
    ]


def test_drawing_what_is_known_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnknownCaptionWarning)
        load_generator("embedded").generate([GenerationRequest(layout=layout("an apple", "A DOG!"), seed=1, steps=1)])


def test_every_example_is_told_in_known_words():
    examples = Path(__file__).parents[2] / "examples"
    paths = [path for path in (*examples.glob("*.json"), *examples.glob("scenes/*.json")) if "." not in path.stem]
    captions = [instance.caption for path in paths for instance in read_layout(path).instances]
    assert len(captions) > 100
    assert [text for text in captions if packaged_vocabulary().object_in(text) is None] == []
