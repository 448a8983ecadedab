"""Known objects: found in captions, searched, read from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from occlusionformer.generation.vocabulary import KnownObject, Vocabulary
from tests.tables import for_each

OBJECTS = (
    KnownObject(name="cat", category="animal", synonyms=("kitten", "tabby cat"), recolourable=True),
    KnownObject(name="hot dog", category="food"),
    KnownObject(name="dog", category="animal", synonyms=("puppy",), adjectives=("brown",)),
    KnownObject(name="cherries", category="food", synonyms=("cherry",)),
    KnownObject(name="glass of milk", category="food", synonyms=("milk",)),
    KnownObject(name="glasses", category="clothes"),
    KnownObject(name="fire engine", category="vehicle", synonyms=("fire truck",)),
    KnownObject(name="bus", category="vehicle"),
    KnownObject(name="book", category="object"),
    KnownObject(name="books", category="object", synonyms=("stack of books",)),
)
KNOWN = Vocabulary(objects=OBJECTS, colours=("black", "blue"))


@for_each(
    ("caption", "name"),
    [
        ("cat", "cat"),
        ("a black cat sitting", "cat"),
        ("A KITTEN, asleep!", "cat"),
        ("three cats", "cat"),
        ("a hot dog", "hot dog"),
        ("hot dogs", "hot dog"),
        ("a toy dog on a bus", "dog"),
        ("a cat with a puppy", "cat"),
        ("a dog in a hot dog costume", "hot dog"),
        ("some cherries", "cherries"),
        ("a glass of milk", "glass of milk"),
        ("a pair of glasses", "glasses"),
        ("a fire-engine", "fire engine"),
        ("busses", None),
        ("the bus", "bus"),
        ("a book", "book"),
        ("two books", "books"),
        ("category", None),
        ("chandelier", None),
        ("two people kissing", None),
        ("", None),
        ("!?", None),
        ("котёнок", None),
    ],
)
def test_a_caption_names_an_object(caption: str, name: str | None):
    found = KNOWN.object_in(caption)
    assert (found.name if found else None) == name


@for_each("item", OBJECTS, ids=lambda item: item.name)
def test_every_word_names_its_own_object(item: KnownObject):
    for word in item.words:
        assert KNOWN.object_in(f"a {word}") is item


FRUIT = KnownObject(name="orange", category="food")
BEAR = KnownObject(name="bear", category="animal", synonyms=("black bear",), recolourable=True)
COLOURED = Vocabulary(objects=(*OBJECTS, FRUIT, BEAR), colours=("black", "grey", "orange"))


@for_each(
    "caption, name, colour",
    [
        ("a black cat sitting", "cat", "black"),
        ("A Gray-Cat", "cat", "grey"),
        ("a cat, black", "cat", "black"),
        ("a grey and black cat", "cat", "black"),
        ("a cat on a black sofa", "cat", None),
        ("a black bus and a cat", "bus", None),
        ("a blue cat", "cat", None),
        ("a black dog", "dog", None),
        ("an orange", "orange", None),
        ("an orange cat", "cat", "orange"),
        ("a cat, orange", "cat", "orange"),
        ("an orange on a bus", "orange", None),
        ("a grey orange", "orange", None),
        ("a black bear", "bear", None),
        ("a grey black bear", "bear", "grey"),
        ("black", None, None),
        ("a black chandelier", None, None),
    ],
)
def test_a_caption_asks_for_a_colour(caption: str, name: str | None, colour: str | None):
    found = COLOURED.object_in(caption)
    assert (found.name if found else None, COLOURED.colour_in(caption)) == (name, colour)


@for_each(
    "text, names",
    [
        ("grey", ["cat", "bear"]),
        ("gray kit", ["cat"]),
        ("black be", ["bear"]),
        ("!?", []),
        ("orange", ["cat", "orange", "bear"]),
        ("grey dog", []),
        ("a grey cat", []),
    ],
)
def test_colours_are_searched(text: str, names: list[str]):
    assert [item.name for item in COLOURED.search(text)] == names


def test_nothing_is_known_of_an_empty_vocabulary():
    empty = Vocabulary(objects=())
    assert (empty.object_in("a cat"), list(empty.search()), empty.categories, empty.num_words) == (None, [], {}, 0)


@for_each(
    ("text", "category", "names"),
    [
        ("", None, [item.name for item in OBJECTS]),
        ("DOG", None, ["hot dog", "dog"]),
        ("pup", None, ["dog"]),
        ("brown", None, ["dog"]),
        ("dog", "animal", ["dog"]),
        ("", "vehicle", ["fire engine", "bus"]),
        ("chandelier", None, []),
    ],
)
def test_objects_are_searched(text: str, category: str | None, names: list[str]):
    assert [item.name for item in KNOWN.search(text, category)] == names


def test_a_category_that_there_is_not_is_an_error():
    message = "category: expected one of animal, clothes, food, object, vehicle, got 'toy'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        list(KNOWN.search("cat", "toy"))


def test_counts():
    assert KNOWN.categories == {"animal": 2, "clothes": 1, "food": 3, "object": 2, "vehicle": 2}
    assert KNOWN.num_words == 17


def test_written_equals_read(tmp_path: Path):
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(KNOWN.as_json()))
    assert Vocabulary.read(path) == KNOWN


def test_a_word_for_two_objects_is_an_error(tmp_path: Path):
    path = tmp_path / "vocabulary.json"
    again = KnownObject(name="tom", category="animal", synonyms=("Tabby-Cat", "milk"))
    path.write_text(json.dumps(Vocabulary(objects=(*OBJECTS, again)).as_json()))
    message = f"{path}: expected every word for one object, got tabby cat, milk for several"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Vocabulary.read(path)
