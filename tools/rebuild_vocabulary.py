"""Writes the vocabulary of the packaged model, from the art that it is trained on. Takes no arguments."""

from __future__ import annotations

import json

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.generation.vocabulary import KnownObject, Vocabulary
from occlusionformer.layout import write_atomic


def vocabulary_of_art() -> Vocabulary:
    """Names, synonyms and adjectives as the art describes them, and the colours that objects are drawn in."""
    known = [
        KnownObject(
            name=item.name,
            category=item.category,
            synonyms=item.synonyms,
            adjectives=item.adjectives,
            recolourable=item.recolourable,
        )
        for item in world_art().objects
    ]
    return Vocabulary(objects=tuple(known), colours=tuple(OBJECT_COLOURS))


def written(known: Vocabulary) -> str:
    """The text of the file: an object a line."""
    described = known.as_json()
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in described["objects"])
    return f'{{"colours": {json.dumps(described["colours"])},\n "objects": [\n{lines}\n ]}}\n'


if __name__ == "__main__":
    write_atomic(EMBEDDED.vocabulary, written(vocabulary_of_art()))
