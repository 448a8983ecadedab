"""Draw the everyday layouts with the embedded model, on one sheet with their captions: docs/images/everyday.webp.

Run from the repository root: `python tools/contact_sheet.py`. Every layout with its own seed, or 1, in the model's own
number of steps.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw

from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import Layout, read_layout
from occlusionformer.layout.atomic import write_atomic

REPOSITORY = Path(__file__).resolve().parent.parent
LAYOUTS = REPOSITORY / "examples" / "scenes"
SHEET = REPOSITORY / "docs" / "images" / "everyday.webp"
COLUMNS, SIDE, GAP, LINE, LETTERS, LINES = 5, 256, 4, 15, 44, 3


def cell(layout: Layout, picture: Image.Image) -> Image.Image:
    """A picture over the captions of its layout, nearest last as in the file."""
    shown = Image.new("RGB", (SIDE + GAP, SIDE + GAP + LINES * LINE), "white")
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    shown.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    words = textwrap.wrap(", ".join(instance.caption for instance in layout.instances), LETTERS)[:LINES]
    for number, line in enumerate(words):
        ImageDraw.Draw(shown).text((GAP, SIDE + GAP + number * LINE), line, fill="black")
    return shown


def main() -> None:
    generator = load_generator("embedded")
    cells = []
    for path in sorted(LAYOUTS.glob("*.json")):
        layout = read_layout(path)
        request = GenerationRequest(layout=layout, seed=1 if layout.seed is None else layout.seed)
        cells.append(cell(layout, generator.generate([request])[0].image))
    width, height = cells[0].size
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(cells) // COLUMNS) * height), "white")
    for place, one in enumerate(cells):
        sheet.paste(one, (place % COLUMNS * width, place // COLUMNS * height))
    encoded = io.BytesIO()
    sheet.save(encoded, format="WEBP", quality=90)
    write_atomic(SHEET, encoded.getvalue())


if __name__ == "__main__":
    main()
