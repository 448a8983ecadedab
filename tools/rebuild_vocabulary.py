"""Writes the vocabulary of the packaged model, from the art that it is trained on. Takes no arguments."""

from __future__ import annotations

import json
from dataclasses import replace

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.embedded.nearest import NearestObjects
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.generation.vocabulary import KnownObject, Vocabulary
from occlusionformer.layout import write_atomic


def vocabulary_of_art() -> Vocabulary:
    """Names, synonyms and adjectives as the art describes them, and the colours that objects are drawn in.

    Synonyms that the text encoder reads as another object are left out: most are words that training never says.
    """
    described = [
        KnownObject(
            name=item.name,
            category=item.category,
            synonyms=item.synonyms,
            adjectives=item.adjectives,
            recolourable=item.recolourable,
        )
        for item in world_art().objects
    ]
    nearest = NearestObjects(Vocabulary(objects=tuple(described)), packaged_reader())

    def is_read(word: str, name: str) -> bool:
        found = nearest.of(word)
        return found is not None and found.name == name

    known = [replace(it, synonyms=tuple(word for word in it.synonyms if is_read(word, it.name))) for it in described]
    return Vocabulary(objects=tuple(known), colours=tuple(OBJECT_COLOURS))


def written(known: Vocabulary) -> str:
    """The text of the file: an object a line."""
    described = known.as_json()
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in described["objects"])
    return f'{{"colours": {json.dumps(described["colours"])},\n "objects": [\n{lines}\n ]}}\n'


if __name__ == "__main__":
    write_atomic(EMBEDDED.vocabulary, written(vocabulary_of_art()))
