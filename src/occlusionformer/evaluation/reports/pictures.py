"""Pictures of a report: small, with the declared boxes on them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw

from occlusionformer.evaluation.benchmark import Item, Question
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.parse_answers import parse_answer
from occlusionformer.evaluation.running.result import Result
from occlusionformer.pictures import PICTURE_ENDINGS, PictureError, find_picture, read_picture

SIDE = 320
"""Pixels of the longer side: enough to see who is in front, small enough for forty of them in one file."""
COLOURS = ((230, 60, 60), (60, 170, 80), (70, 100, 230), (230, 180, 40), (170, 70, 190), (50, 190, 200))


def picture_path(result: Result, item: Item) -> Path | None:
    """Where the picture of an item is; None where it is not any more."""
    folder = result.document["run"]["pictures"]
    places = [find_picture(folder, item.key + ending) for ending in PICTURE_ENDINGS] if folder else []
    places += [result.path / "pictures" / f"{item.key}.png"] if result.path else []
    return next((place for place in places if place is not None and place.is_file()), None)


def thumbnail(result: Result, item: Item, *, answer: Json = None) -> bytes | None:
    """A WebP picture with the boxes of the layout, and in white those of a `detect` answer; None without a picture."""
    path = picture_path(result, item)
    if path is None:
        return None
    try:
        return _encoded(_with_boxes(read_picture(path).image, item, answer))
    except PictureError:
        return None


def _with_boxes(picture: Image.Image, item: Item, answer: Json) -> Image.Image:
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(small)
    found = parse_answer(Question("detect"), answer, item) or {}
    for x1, y1, x2, y2 in (box for boxes in found.values() for box in boxes):
        if x1 < x2 and y1 < y2:
            draw.rectangle((x1 * scale, y1 * scale, x2 * scale, y2 * scale), outline=(255, 255, 255), width=1)
    for place, instance in enumerate(item.layout.instances):
        x1, y1, x2, y2 = instance.box.pixels(*size)
        colour = COLOURS[place % len(COLOURS)]
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
        draw.text((x1 + 4, y1 + 3), instance.id[:24], fill=colour, stroke_width=1, stroke_fill=(0, 0, 0))
    return small


def _encoded(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=85)
    return stream.getvalue()
