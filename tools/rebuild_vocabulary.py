"""Writes the vocabularies of the packaged models, from the art that they are trained on.

python tools/rebuild_vocabulary.py                   the objects of both worlds
python tools/rebuild_vocabulary.py --world second    those of one
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from occlusionformer.data.artwork import ArtObject, packaged_art
from occlusionformer.data.world.artwork import WorldObject, world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.embedded.packaged import FIRST, MODELS, PackagedModel
from occlusionformer.generation.vocabulary import KnownObject, Vocabulary
from occlusionformer.layout import write_atomic


def vocabulary_of_art(model: PackagedModel) -> Vocabulary:
    """Names, synonyms and adjectives as the art describes them; colours of the world whose objects have several."""
    objects: Sequence[ArtObject | WorldObject] = packaged_art().objects if model is FIRST else world_art().objects
    known = [
        KnownObject(
            name=item.name,
            category=item.category,
            synonyms=item.synonyms,
            adjectives=item.adjectives,
            recolourable=isinstance(item, WorldObject) and item.recolourable,
        )
        for item in objects
    ]
    return Vocabulary(objects=tuple(known), colours=() if model is FIRST else tuple(OBJECT_COLOURS))


def written(known: Vocabulary) -> str:
    """The text of the file: an object a line."""
    described = known.as_json()
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in described["objects"])
    return f'{{"colours": {json.dumps(described["colours"])},\n "objects": [\n{lines}\n ]}}\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=[model.world for model in MODELS])
    wanted = parser.parse_args().world
    for model in MODELS:
        if wanted in (None, model.world):
            write_atomic(model.vocabulary, written(vocabulary_of_art(model)))


if __name__ == "__main__":
    main()
