"""DenseLayout (arXiv 2509.16691): records of the published inference format with an id, and no order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.benchmarks.clipping import clipped_pixels
from occlusionformer.evaluation.benchmarks.source import BenchmarkSource, LoadedItems, checked_key, files_in
from occlusionformer.evaluation.benchmarks.tables import rows
from occlusionformer.evaluation.benchmarks.truths import truth_of
from occlusionformer.layout import LayoutError, read_layout
from occlusionformer.layout.document import Document
from occlusionformer.layout.limits import COLLECTIONS
from occlusionformer.layout.problems import shown
from occlusionformer.layout.text import parse_json, parse_json_lines, text_of

FIELDS = ("prompt", "caption", "height", "width", "annos", "seed")
ROW_FIELDS = ("bbox", "caption", "category", "category_name", "occludes", "id")
COLUMNS = ("prompt", "height", "width", "annos")


class DenseLayoutSettings(Document):
    files: tuple[str, ...] = Field(
        description="Patterns for Parquet tables, JSON files of one record or a list, or JSON lines."
    )


def read(settings: DenseLayoutSettings, folder: Path) -> LoadedItems:
    """An item for every record; one without an id is named after its file, or after its row in a table."""
    loaded = LoadedItems(files=files_in(folder, settings.files))
    tables = [path for path in loaded.files if path.suffix == ".parquet"]
    for row in rows(tables, COLUMNS, optional=("id",)):
        name = row.fields.get("id")
        with loaded.row(row.place):
            loaded.items.append(_item(row.fields, f"{row.number:08d}" if name is None else name, loaded))
    for path in [path for path in loaded.files if path not in tables]:
        records: list[Any] = []
        with loaded.row(path.name):
            records = list(_records(path))
        for place, record in enumerate(records):
            with loaded.row(f"{path.name} record {place}"):
                if not isinstance(record, Mapping):
                    raise LayoutError([f"expected an object, got {shown(record)}"])
                loaded.items.append(_item(record, record.get("id", path.stem), loaded))
    return loaded


def _records(path: Path) -> Iterator[Any]:
    text = text_of(path, COLLECTIONS)
    value = parse_json_lines(text, COLLECTIONS) if path.suffix == ".jsonl" else parse_json(text, COLLECTIONS)
    yield from value if isinstance(value, list) else [value]


def _item(record: Mapping[str, Any], name: object, loaded: LoadedItems) -> BenchmarkItem:
    """Fields that the format does not have are left unread."""
    key = checked_key(name)
    fields = {field: record[field] for field in FIELDS if record.get(field) is not None}
    given = fields.get("annos")
    annos: Any = parse_json(given) if isinstance(given, str) else given
    if isinstance(annos, list):
        fields["annos"] = [_row(row, fields) if isinstance(row, Mapping) else row for row in annos]
    layout = read_layout(fields, "published")
    corners = [tuple(row["bbox"]) for row in annos]
    drawn = [tuple(row["bbox"]) for row in fields["annos"]]
    outside = [place for place in range(len(corners)) if corners[place] != drawn[place]]
    loaded.clipped += [f"{key}: annos[{place}]" for place in outside]
    truth = truth_of(layout)
    if outside:
        boxes = [corners[place] if place in outside else box for place, box in enumerate(truth.boxes)]
        truth = replace(truth, boxes=tuple(boxes))
    return BenchmarkItem(key=key, layout=layout, truth=truth)


def _row(row: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {field: row[field] for field in ROW_FIELDS if row.get(field) is not None}
    width, height = record.get("width"), record.get("height")
    if "bbox" in kept and isinstance(width, int) and isinstance(height, int):
        kept["bbox"] = clipped_pixels(kept["bbox"], width, height)
    return kept


DENSELAYOUT = BenchmarkSource(name="denselayout", settings=DenseLayoutSettings, read=read)
