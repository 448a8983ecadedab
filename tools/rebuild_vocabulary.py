"""Writes the vocabulary of the embedded model, from the art that it was trained on.

python tools/rebuild_vocabulary.py            the objects of the packaged model
python tools/rebuild_vocabulary.py --world    the objects of the second world, which can be recoloured
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.embedded.vocabulary import PACKAGED
from occlusionformer.generation.vocabulary import KnownObject, Vocabulary
from occlusionformer.layout import write_atomic


def vocabulary_of_art(*, world: bool = False) -> Vocabulary:
    """Names, synonyms and adjectives as the art describes them; a synonym is left to the object named by it."""
    art = world_art().objects if world else packaged_art().objects
    objects = [
        KnownObject(
            name=item.name,
            category=item.category,
            synonyms=item.synonyms,
            adjectives=item.adjectives,
            recolourable=getattr(item, "recolourable", False),
        )
        for item in art
    ]
    return Vocabulary(objects=tuple(objects), colours=tuple(OBJECT_COLOURS) if world else ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", action="store_true")
    parser.add_argument("--output", type=Path, default=PACKAGED)
    arguments = parser.parse_args()
    described = vocabulary_of_art(world=arguments.world).as_json()
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in described["objects"])
    colours = json.dumps(described["colours"])
    write_atomic(arguments.output, f'{{"colours": {colours},\n "objects": [\n{lines}\n ]}}\n')


if __name__ == "__main__":
    main()
