"""Rebuild the art of the second world from the pinned releases that `rebuild_art.py` names.

Pictures stay the bytes of their release: nothing is encoded again. Needs npm. Run from the repository root:
`python -m tools.rebuild_world`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from occlusionformer.layout.atomic import write_atomic
from tools.rebuild_art import IMAGES, WORDS, download_release, read_member, split_words

REPOSITORY = Path(__file__).resolve().parent.parent
ART = REPOSITORY / "src" / "occlusionformer" / "data" / "world" / "art"
OBJECTS = Path(__file__).with_name("world_objects.txt")


def read_objects(text: str) -> list[dict[str, object]]:
    """Parse the table of chosen objects: hexcode | name | category | synonyms | adjectives | recolourable."""
    objects: list[dict[str, object]] = []
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        hexcode, name, category, synonyms, adjectives, recolourable = (field.strip() for field in line.split("|"))
        objects.append(
            {
                "name": name,
                "hexcode": hexcode,
                "category": category,
                "synonyms": split_words(synonyms),
                "adjectives": split_words(adjectives),
                "recolourable": recolourable == "*",
            }
        )
    return objects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ART)
    output = parser.parse_args().output
    objects = read_objects(OBJECTS.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        images, words = download_release(IMAGES, Path(folder)), download_release(WORDS, Path(folder))
        with tarfile.open(words) as archive:
            entries = json.loads(read_member(archive, "package/en/data.json"))
            write_atomic(output / "LICENSE-emojibase", read_member(archive, "package/LICENSE"))
        described = {entry["hexcode"].lower().replace("-fe0f", ""): entry for entry in entries}
        with tarfile.open(images) as archive:
            for item in objects:
                code = str(item["hexcode"])
                write_atomic(output / f"{code}.webp", read_member(archive, f"package/assets/{code}.webp"))
                entry = described[code.replace("-fe0f", "")]
                item["label"], item["tags"] = entry["label"], entry["tags"]
    sources = [f"{release.package} {release.version}" for release in (IMAGES, WORDS)]
    lines = ",\n".join(" " + json.dumps(item, ensure_ascii=False) for item in objects)
    document = f'{{"sources": {json.dumps(sources)},\n"objects": [\n{lines}\n]}}\n'
    json.loads(document)
    write_atomic(output / "objects.json", document)
    sys.stdout.write(f"{len(objects)} objects in {output}\n")


if __name__ == "__main__":
    main()
