"""LayoutSAM-Eval (arXiv 2412.03859): Parquet rows with captions of regions, short and long, and boxes as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from occlusionformer.evaluation.benchmark import Item, Truth
from occlusionformer.evaluation.benchmarks.source import LoadedItems, Source, checked_key, files_in, text_field
from occlusionformer.evaluation.benchmarks.tables import Row, rows
from occlusionformer.evaluation.benchmarks.truths import counted_pairs, pixels
from occlusionformer.layout import Box, Instance, Layout, LayoutError
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import Problem, shown
from occlusionformer.layout.text import parse_literal

COLUMNS = (
    "image_id",
    "global_caption",
    "region_captions",
    "detail_region_captions",
    "bbox_list",
    "width",
    "height",
)
DIGITS = 3
"""Decimals that the published evaluation rounds normalised boxes to."""
LONGEST_LIST = 2**20
"""Characters of a list that is written as text."""


class LayoutSamSettings(Document):
    files: tuple[str, ...] = Field(description="Patterns for the tables.")
    size: Literal[512, 1024] = Field(1024, description="Width and height to draw in, as the published evaluation has.")


def read(settings: LayoutSamSettings, folder: Path) -> LoadedItems:
    loaded = LoadedItems(files=files_in(folder, settings.files))
    for row in rows(loaded.files, COLUMNS, picture="image"):
        with loaded.row(row.place):
            loaded.items.append(_item(row, settings.size))
    return loaded


def _item(row: Row, size: int) -> Item:
    fields = row.fields
    key = checked_key(fields["image_id"])
    captions, details = _texts(fields, "region_captions"), _texts(fields, "detail_region_captions")
    boxes = _boxes(fields)
    if not len(captions) == len(details) == len(boxes):
        counts = f"{len(captions)}, {len(details)} and {len(boxes)}"
        raise LayoutError([f"expected as many captions, details and boxes, got {counts}"])
    names = [str(number) for number in range(1, len(boxes) + 1)]
    instances = tuple(
        Instance(id=name, caption=caption, box=box) for name, caption, box in zip(names, captions, boxes, strict=True)
    )
    layout = Layout(prompt=text_field(fields, "global_caption"), width=size, height=size, instances=instances)
    truth = Truth(
        boxes=tuple(pixels(box, size, size) for box in boxes),
        frame=(size, size),
        names=tuple(names),
        categories=tuple(captions),
        details=tuple(details),
        overlap_pairs=counted_pairs(boxes, set()),
    )
    return Item(key=key, layout=layout, truth=truth, reference=row.picture)


def _boxes(fields: dict[str, Any]) -> list[Box]:
    """Normalised by the size of the picture, and rounded as the published evaluation does."""
    width, height = fields["width"], fields["height"]
    if not all(type(side) is int and side > 0 for side in (width, height)):
        raise LayoutError([f"expected width and height as whole numbers, got {shown(width)} and {shown(height)}"])
    problems: list[Problem] = []
    boxes = []
    for place, entry in enumerate(_listed(fields, "bbox_list")):
        try:
            edges = _literal(entry) if isinstance(entry, str) else entry
            if not isinstance(edges, list) or len(edges) != 4:
                raise LayoutError([f"expected four numbers x1, y1, x2, y2, got {shown(edges)}"])
            box = Box.from_pixels(*edges, width=width, height=height)
            boxes.append(Box(*(round(edge, DIGITS) for edge in box)))
        except LayoutError as error:
            problems += [Problem(("bbox_list", place), problem) for problem in error.problems]
    if problems:
        raise LayoutError(problems)
    return boxes


def _texts(fields: dict[str, Any], name: str) -> list[str]:
    found = _listed(fields, name)
    if wrong := [entry for entry in found if not isinstance(entry, str)]:
        raise LayoutError([f"{name}: expected a list of text, got {shown(wrong[0])} in it"])
    return found


def _listed(fields: dict[str, Any], name: str) -> list[Any]:
    """A list, also one that is written as text."""
    value = fields[name]
    found = _literal(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise LayoutError([f"{name}: expected a list, got {shown(found)}"])
    return found


def _literal(text: str) -> Any:
    if len(text) > LONGEST_LIST:
        raise LayoutError([f"expected at most {LONGEST_LIST} characters, got {len(text)}"])
    return parse_literal(text)


LAYOUTSAM = Source(name="layoutsam", settings=LayoutSamSettings, read=read)
