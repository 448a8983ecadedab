"""Rebuild the packaged object art from pinned releases of Fluent Emoji 3D and Emojibase.

Needs npm and Pillow with WebP. Run from the repository root: `python tools/rebuild_art.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from occlusionformer.layout.atomic import write_atomic

REPOSITORY = Path(__file__).resolve().parent.parent
ART = REPOSITORY / "src" / "occlusionformer" / "data" / "art"
OBJECTS = Path(__file__).with_name("art_objects.txt")
LONGEST_SIDE = 96
COLUMNS = 12
VISIBLE_ALPHA = 8
"""Fainter pixels (out of 255) are shadow noise and do not widen a crop."""


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
    """Parse the table of chosen objects: hexcode | name | category | synonyms | adjectives."""
    objects: list[dict[str, object]] = []
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        hexcode, name, category, synonyms, adjectives = (field.strip() for field in line.split("|"))
        objects.append(
            {
                "name": name,
                "hexcode": hexcode,
                "category": category,
                "synonyms": split_words(synonyms),
                "adjectives": split_words(adjectives),
            }
        )
    return objects


def split_words(field: str) -> list[str]:
    return [word.strip() for word in field.split(",") if word.strip()]


def crop_and_shrink(image: Image.Image) -> Image.Image:
    """Crop to the visible pixels and shrink to the stored size, premultiplied so that edges keep their colour."""
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha >= VISIBLE_ALPHA)).getbbox()
    if box is None:
        raise ValueError("expected a picture with visible pixels, got an empty one")
    cropped = image.crop(box)
    scale = LONGEST_SIDE / max(cropped.size)
    size = (max(1, round(cropped.width * scale)), max(1, round(cropped.height * scale)))
    return cropped.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")


def build(images: Path, words: Path) -> tuple[bytes, str]:
    """The atlas as lossless WebP and the description of its objects as JSON."""
    objects = read_objects(OBJECTS.read_text(encoding="utf-8"))
    with tarfile.open(words) as archive:
        entries = json.loads(read_member(archive, "package/en/data.json"))
    described = {entry["hexcode"].lower(): entry for entry in entries}
    rows = -(-len(objects) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * LONGEST_SIDE, rows * LONGEST_SIDE))
    with tarfile.open(images) as archive:
        for index, item in enumerate(objects):
            code = str(item["hexcode"])
            sprite = crop_and_shrink(Image.open(io.BytesIO(read_member(archive, f"package/assets/{code}.webp"))))
            x, y = index % COLUMNS * LONGEST_SIDE, index // COLUMNS * LONGEST_SIDE
            atlas.paste(sprite, (x, y))
            item["label"] = described[code]["label"]
            item["tags"] = described[code]["tags"]
            item["rectangle"] = [x, y, *sprite.size]
            item["aspect"] = round(sprite.width / sprite.height, 4)
    encoded = io.BytesIO()
    atlas.save(encoded, "WEBP", lossless=True, quality=100, method=6)
    sources = [f"{release.package} {release.version}" for release in (IMAGES, WORDS)]
    return encoded.getvalue(), json.dumps({"sources": sources, "objects": objects}, indent=1, ensure_ascii=False) + "\n"


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise ValueError(f"{name}: expected a file, got a folder")
    return member.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ART)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        images, words = download_release(IMAGES, Path(folder)), download_release(WORDS, Path(folder))
        atlas, objects = build(images, words)
        with tarfile.open(words) as archive:
            words_licence = read_member(archive, "package/LICENSE")
    write_atomic(output / "atlas.webp", atlas)
    write_atomic(output / "objects.json", objects)
    write_atomic(output / "LICENSE-emojibase", words_licence)


if __name__ == "__main__":
    main()
