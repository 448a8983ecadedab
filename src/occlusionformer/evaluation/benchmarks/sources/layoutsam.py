"""LayoutSAM-Eval (arXiv 2412.03859): Parquet rows with captions of regions, short and long, and boxes as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from occlusionformer.evaluation.benchmark import BenchmarkItem, ItemTruth
from occlusionformer.evaluation.benchmarks.clipping import clipped_corners
from occlusionformer.evaluation.benchmarks.source import BenchmarkSource, LoadedItems, checked_key, files_in, text_field
from occlusionformer.evaluation.benchmarks.tables import Row, rows
from occlusionformer.evaluation.benchmarks.truths import counted_pairs
from occlusionformer.layout import Instance, Layout, LayoutError
from occlusionformer.layout.document import Document
from occlusionformer.layout.literal import parse_literal
from occlusionformer.layout.problems import Problem, shown

COLUMNS = (
    "global_caption",
    "region_captions",
    "detail_region_captions",
    "bbox_list",
    "width",
    "height",
)
NAMES = ("image_id", "file_name")
"""Columns that name a picture; published code names generated pictures by `file_name`."""
DIGITS = 3
"""Decimals that the published evaluation rounds normalised boxes to."""
LONGEST_LIST = 2**20
"""Characters of a list that is written as text."""


class LayoutSamSettings(Document):
    files: tuple[str, ...] = Field(description="Patterns for the tables.")
    size: Literal[512, 1024] = Field(1024, description="Width and height to draw in, as the published evaluation has.")
    captions: Literal["detailed", "short"] = Field(
        "detailed", description="Captions of the regions to draw from; published code draws from the detailed ones."
    )


def read(settings: LayoutSamSettings, folder: Path) -> LoadedItems:
    """Items are named by `image_id`, else by `file_name` without its ending, else by their row."""
    loaded = LoadedItems(files=files_in(folder, settings.files))
    for row in rows(loaded.files, COLUMNS, optional=NAMES, picture="image"):
        with loaded.row(row.place):
            loaded.items.append(_item(row, settings, loaded))
    return loaded


def _item(row: Row, settings: LayoutSamSettings, loaded: LoadedItems) -> BenchmarkItem:
    fields, size = row.fields, settings.size
    file_name = fields.get("file_name")
    stem = Path(file_name).stem if isinstance(file_name, str) and file_name else None
    named = fields.get("image_id")
    key = checked_key(next(name for name in (named, stem, f"{row.number:08d}") if name is not None))
    captions, details = _texts(fields, "region_captions"), _texts(fields, "detail_region_captions")
    corners = _corners(fields)
    found = [clipped_corners(edges, 1, 1) for edges in corners]
    boxes = [each.box for each in found]
    loaded.clipped += [f"{key}: bbox_list[{place}]" for place, each in enumerate(found) if each.is_clipped]
    if not len(captions) == len(details) == len(boxes):
        counts = f"{len(captions)}, {len(details)} and {len(boxes)}"
        raise LayoutError([f"expected as many captions, details and boxes, got {counts}"])
    names = [str(number) for number in range(1, len(boxes) + 1)]
    drawn = captions
    if settings.captions == "detailed":
        drawn = [detail if detail.strip() else caption for detail, caption in zip(details, captions, strict=True)]
    instances = tuple(
        Instance(id=name, caption=caption, box=box) for name, caption, box in zip(names, drawn, boxes, strict=True)
    )
    layout = Layout(prompt=text_field(fields, "global_caption"), width=size, height=size, instances=instances)
    truth = ItemTruth(
        boxes=tuple((x1 * size, y1 * size, x2 * size, y2 * size) for x1, y1, x2, y2 in corners),
        frame=(size, size),
        names=tuple(names),
        categories=tuple(captions),
        details=tuple(details),
        overlap_pairs=counted_pairs(boxes, set()),
    )
    names_elsewhere = (stem,) if stem is not None and stem != key else ()
    return BenchmarkItem(key=key, layout=layout, truth=truth, reference=row.picture, picture_names=names_elsewhere)


def _corners(fields: dict[str, Any]) -> list[tuple[float, float, float, float]]:
    """Boxes as fractions of the picture, rounded as the published evaluation does; they may reach slightly outside."""
    width, height = fields["width"], fields["height"]
    if not all(type(side) is int and side > 0 for side in (width, height)):
        raise LayoutError([f"expected width and height as whole numbers, got {shown(width)} and {shown(height)}"])
    problems: list[Problem] = []
    corners = []
    for place, entry in enumerate(_listed(fields, "bbox_list")):
        try:
            edges = _literal(entry) if isinstance(entry, str) else entry
            if not isinstance(edges, list) or len(edges) != 4:
                raise LayoutError([f"expected four numbers x1, y1, x2, y2, got {shown(edges)}"])
            clipped_corners(edges, width, height)
            x1, y1, x2, y2 = edges
            fractions = (x1 / width, y1 / height, x2 / width, y2 / height)
            rounded = (round(fractions[0], DIGITS), round(fractions[1], DIGITS))
            corners.append((*rounded, round(fractions[2], DIGITS), round(fractions[3], DIGITS)))
            clipped_corners(corners[-1], 1, 1)
        except LayoutError as error:
            problems += [Problem(("bbox_list", place), problem) for problem in error.problems]
    if problems:
        raise LayoutError(problems)
    return corners


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


LAYOUTSAM = BenchmarkSource(name="layoutsam", settings=LayoutSamSettings, read=read)
