"""Pictures of a report: in a size one can judge, with the declared and the detected boxes to be laid over them."""

from __future__ import annotations

import io
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from occlusionformer.evaluation.benchmark import BenchmarkItem, Question
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.parse_answers import parse_answer
from occlusionformer.evaluation.running.folder import REFERENCES
from occlusionformer.evaluation.running.result import Result
from occlusionformer.layout import Layout
from occlusionformer.pictures import PICTURE_ENDINGS, PictureError, find_picture, read_picture
from occlusionformer.reporting import PictureBox, view

LONGEST_SIDE = 1024
"""Pixels of the longer side that a report keeps."""
LOSSLESS = 256
"""Pixels of the longer side up to which pictures are kept as they are."""
QUALITY = 88
MOST_LABEL = 40
"""Characters of a caption on a box; the legend has all of it."""
MOST_RELATIONS = 8
"""Relations that are spelled out below a picture."""


def picture_path(result: Result, item: BenchmarkItem) -> Path | None:
    """Where the picture of an item is; None where it is not any more."""
    folder = result.document["run"]["pictures"]
    names = (item.key, *item.picture_names)
    places = [find_picture(folder, name + ending) for name in names for ending in PICTURE_ENDINGS] if folder else []
    places += [result.path / "pictures" / f"{item.key}.png"] if result.path else []
    return next((place for place in places if place is not None and place.is_file()), None)


def reference_path(result: Result, item: BenchmarkItem) -> Path | None:
    """Where a copy of the reference picture of an item is; None where none was kept."""
    place = result.path / REFERENCES / f"{item.key}.webp" if result.path else None
    return place if place is not None and place.is_file() else None


def picture_view(result: Result, item: BenchmarkItem, caption: str, *, detected: Json = None) -> Markup | None:
    """The drawn picture with the boxes of the layout, and dashed those of an answer to `detect`; None without one."""
    return _view(
        picture_path(result, item), item.layout, caption, (*_declared(item.layout), *_detected(item, detected))
    )


def reference_view(result: Result, item: BenchmarkItem) -> Markup | None:
    """The reference with the boxes of the layout; None without one."""
    return _view(reference_path(result, item), item.layout, "reference", _declared(item.layout))


def legend(layout: Layout) -> list[tuple[str, int]]:
    """The captions of the instances and the numbers of their colours."""
    return [(instance.caption, place) for place, instance in enumerate(layout.instances)]


def order_text(layout: Layout) -> str:
    """Who is declared to be in front of whom, by captions."""
    if layout.zorder is None or not layout.zorder.edges:
        return ""
    captions = [instance.caption for instance in layout.instances]
    edges = sorted(layout.zorder.edges)
    told = [f"{captions[front]} in front of {captions[behind]}" for front, behind in edges[:MOST_RELATIONS]]
    more = f" and {len(edges) - MOST_RELATIONS} more" if len(edges) > MOST_RELATIONS else ""
    return f"Declared: {'; '.join(told)}{more}."


def _view(path: Path | None, layout: Layout, caption: str, boxes: tuple[PictureBox, ...]) -> Markup | None:
    found = None if path is None else _encoded(path)
    return None if found is None else view(*found, caption, boxes)


def _encoded(path: Path) -> tuple[bytes, tuple[int, int]] | None:
    """A picture for a report, and its width and height; None for a file that is no picture any more."""
    try:
        rgb = read_picture(path).image
    except PictureError:
        return None
    stream = io.BytesIO()
    if max(rgb.size) <= LOSSLESS:
        rgb.save(stream, format="WEBP", lossless=True)
        return stream.getvalue(), rgb.size
    if max(rgb.size) > LONGEST_SIDE:
        rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    rgb.save(stream, format="WEBP", quality=QUALITY)
    return stream.getvalue(), rgb.size


def _declared(layout: Layout) -> tuple[PictureBox, ...]:
    return tuple(
        PictureBox(box.x1, box.y1, box.x2, box.y2, label=_shortened(instance.caption), colour=place)
        for place, (instance, box) in enumerate(zip(layout.instances, layout.boxes, strict=True))
    )


def _detected(item: BenchmarkItem, answer: Json) -> tuple[PictureBox, ...]:
    """Detected boxes come in pixels of the picture, which has the size of the layout."""
    width, height = item.layout.width, item.layout.height
    found = parse_answer(Question("detect"), answer, item) or {}
    return tuple(
        PictureBox(x1 / width, y1 / height, x2 / width, y2 / height, label="", colour=None)
        for boxes in found.values()
        for x1, y1, x2, y2 in boxes
        if x1 < x2 and y1 < y2
    )


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_LABEL else text[: MOST_LABEL - 1] + "…"
