"""Draw the layouts of the studio's gallery with the embedded model.

Written are a small picture of each, which the gallery shows, and docs/images/everyday.webp: the everyday ones on one
sheet with their captions. Run from the repository root: `python tools/contact_sheet.py`. Every layout with its own
seed, or 1, in the model's own number of steps.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from occlusionformer.apps.studio.application import EDITOR
from occlusionformer.apps.studio.handlers import read_examples
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import Layout
from occlusionformer.layout.atomic import write_atomic

REPOSITORY = Path(__file__).resolve().parent.parent
EVERYDAY = REPOSITORY / "examples" / "scenes"
SHEET = REPOSITORY / "docs" / "images" / "everyday.webp"
COLUMNS, SIDE, GAP, LINE, LETTERS, LINES = 5, 256, 4, 15, 44, 3

GALLERY = EDITOR / "examples"
GALLERY_SIDE = 128


def within(picture: Image.Image, side: int) -> Image.Image:
    """A copy whose longer side has that many pixels at most."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def write_webp(path: Path, picture: Image.Image, quality: int) -> None:
    encoded = io.BytesIO()
    picture.save(encoded, format="WEBP", quality=quality)
    write_atomic(path, encoded.getvalue())


def cell(layout: Layout, picture: Image.Image) -> Image.Image:
    """A picture over the captions of its layout, nearest last as in the file."""
    shown = Image.new("RGB", (SIDE + GAP, SIDE + GAP + LINES * LINE), "white")
    small = within(picture, SIDE)
    shown.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    words = textwrap.wrap(", ".join(instance.caption for instance in layout.instances), LETTERS)[:LINES]
    for number, line in enumerate(words):
        ImageDraw.Draw(shown).text((GAP, SIDE + GAP + number * LINE), line, fill="black")
    return shown


def sheet_of(cells: Sequence[Image.Image]) -> Image.Image:
    width, height = cells[0].size
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(cells) // COLUMNS) * height), "white")
    for place, one in enumerate(cells):
        sheet.paste(one, (place % COLUMNS * width, place // COLUMNS * height))
    return sheet


def main() -> None:
    generator = load_generator("embedded")
    GALLERY.mkdir(exist_ok=True)
    cells = {}
    for example in read_examples():
        layout = Layout.model_validate(example["layout"])
        request = GenerationRequest(layout=layout, seed=1 if layout.seed is None else layout.seed)
        picture = generator.generate([request])[0].image
        write_webp(GALLERY / f"{example['name']}.webp", within(picture, GALLERY_SIDE), quality=80)
        cells[example["name"]] = cell(layout, picture)
    write_webp(SHEET, sheet_of([cells[path.stem] for path in sorted(EVERYDAY.glob("*.json"))]), quality=90)


if __name__ == "__main__":
    main()
