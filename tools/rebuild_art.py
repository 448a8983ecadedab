"""Rebuild the packaged object art from pinned releases of Fluent Emoji 3D and Emojibase.

Pictures stay the bytes of their release: nothing is encoded again. Needs npm. Run from the repository root:
`python tools/rebuild_art.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from occlusionformer.layout.atomic import write_atomic

REPOSITORY = Path(__file__).resolve().parent.parent
ART = REPOSITORY / "src" / "occlusionformer" / "data" / "world" / "art"
OBJECTS = Path(__file__).with_name("art_objects.txt")


@dataclass(frozen=True, kw_only=True)
class Release:
    """One pinned npm package."""

    package: str
    version: str
    sha256: str


IMAGES = Release(
    package="@lobehub/fluent-emoji-3d",
    version="1.1.0",
    sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
)
WORDS = Release(
    package="emojibase-data",
    version="17.0.0",
    sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)


def download_release(release: Release, folder: Path) -> Path:
    """Fetch a release with npm and check its digest."""
    command = ["npm", "pack", "--silent", f"{release.package}@{release.version}", "--pack-destination", str(folder)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if digest != release.sha256:
        raise ValueError(f"{release.package}: expected sha256 {release.sha256}, got {digest}")
    return folder / name


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


def split_words(field: str) -> list[str]:
    """The words of a field, which commas part."""
    return [word.strip() for word in field.split(",") if word.strip()]


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    """The bytes of a file in a release. Raises ValueError for a folder."""
    member = archive.extractfile(name)
    if member is None:
        raise ValueError(f"{name}: expected a file, got a folder")
    return member.read()


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
