"""OverLayBench (arXiv 2509.19282) as published: Parquet rows with a picture, an id and a Python literal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from occlusionformer.evaluation.benchmark import BenchmarkItem, ItemTruth
from occlusionformer.evaluation.benchmarks.clipping import clipped_pixels
from occlusionformer.evaluation.benchmarks.source import BenchmarkSource, LoadedItems, checked_key, files_in, text_field
from occlusionformer.evaluation.benchmarks.tables import Row, rows
from occlusionformer.layout import LayoutError, read_layout
from occlusionformer.layout.document import Document
from occlusionformer.layout.formats.overlaybench import FIELDS, ROW_FIELDS, SIDE
from occlusionformer.layout.literal import parse_literal
from occlusionformer.layout.problems import Path as ProblemPath
from occlusionformer.layout.problems import Problem, shown
from occlusionformer.layout.schema import Pixels

LONGEST_ANNOTATION = 2**20
"""Characters; real ones have a few thousand."""


class OverLayBenchSettings(Document):
    files: tuple[str, ...] = Field(description="Patterns for the tables; the first that finds any is taken.")
    size: Pixels = Field(SIDE, description="Width and height to draw in; boxes are given in 1024 x 1024 all the same.")


def read(settings: OverLayBenchSettings, folder: Path) -> LoadedItems:
    """Items are named by `image_id`, or by their row where the tables do not have that column."""
    loaded = LoadedItems(files=files_in(folder, settings.files))
    for row in rows(loaded.files, ("annotation",), optional=("image_id",), picture="image"):
        with loaded.row(row.place):
            loaded.items.append(_item(row, settings.size, loaded))
    return loaded


def _item(row: Row, size: int, loaded: LoadedItems) -> BenchmarkItem:
    """Boxes that reach slightly beyond the canvas are cut off in the layout; metrics take them as they are given."""
    key = checked_key(row.fields.get("image_id", f"{row.number:08d}"))
    document = _annotation(text_field(row.fields, "annotation"))
    layout = read_layout(_known_fields(document), "overlaybench")
    relations, pairs = _relations(document), _overlap_pairs(document, len(layout.instances))
    edges = [document["annotations"][instance.id]["bbox"] for instance in layout.instances]
    truth = ItemTruth(
        boxes=tuple((int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in edges),
        frame=(SIDE, SIDE),
        names=tuple(instance.id for instance in layout.instances),
        categories=tuple(instance.category or instance.caption for instance in layout.instances),
        relations=relations,
        overlap_pairs=pairs,
    )
    for name, box in zip(truth.names, edges, strict=True):
        if clipped_pixels(box, SIDE, SIDE) != list(box):
            loaded.clipped.append(f"{key}: {name}")
    layout = layout.model_copy(update={"width": size, "height": size})
    return BenchmarkItem(key=key, layout=layout, truth=truth, reference=row.picture)


def _annotation(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_ANNOTATION:
        raise LayoutError([f"annotation: expected at most {LONGEST_ANNOTATION} characters, got {len(text)}"])
    document = parse_literal(text)
    if not isinstance(document, dict):
        raise LayoutError([f"annotation: expected an object, got {shown(document)}"])
    return document


def _known_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The annotation without fields that the format does not have, and with boxes cut off at the canvas."""
    known = {name: document[name] for name in FIELDS if name in document}
    if isinstance(named := known.get("annotations"), Mapping):
        known["annotations"] = {
            name: _known_row(row) if isinstance(row, Mapping) else row for name, row in named.items()
        }
    return known


def _known_row(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {field: row[field] for field in ROW_FIELDS if field in row}
    return {**known, "bbox": clipped_pixels(known["bbox"], SIDE, SIDE)} if "bbox" in known else known


def _relations(document: Mapping[str, Any]) -> dict[str, str]:
    found = document.get("relations", {})
    if not isinstance(found, Mapping):
        raise LayoutError([Problem(("relations",), f"expected an object with text, got {shown(found)}")])
    problems = [
        Problem(("relations", str(key)), f"expected text under a name, got {shown(text)}")
        for key, text in found.items()
        if not (isinstance(key, str) and isinstance(text, str))
    ]
    if problems:
        raise LayoutError(problems)
    return dict(found)


def _overlap_pairs(document: Mapping[str, Any], count: int) -> tuple[tuple[int, int], ...]:
    found = document.get("valid_overlap", [])
    if not isinstance(found, list):
        raise LayoutError([Problem(("valid_overlap",), f"expected a list, got {shown(found)}")])
    problems: list[Problem] = []
    pairs = []
    for place, entry in enumerate(found):
        given = entry.get("overlap_box") if isinstance(entry, Mapping) else None
        pair = _pair(given, count)
        if pair is None:
            path: ProblemPath = ("valid_overlap", place, "overlap_box")
            problems.append(Problem(path, f"expected two places of {count} instances, got {shown(given)}"))
        else:
            pairs.append(pair)
    if problems:
        raise LayoutError(problems)
    return tuple(pairs)


def _pair(value: object, count: int) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2 or value[0] == value[1]:
        return None
    first, second = value
    is_right = all(type(place) is int and 0 <= place < count for place in value)
    return (first, second) if is_right else None


OVERLAYBENCH = BenchmarkSource(name="overlaybench", settings=OverLayBenchSettings, read=read)
