"""DenseLayout (arXiv 2509.16691): records of the published inference format with an id, and no order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from occlusionformer.evaluation.benchmark import Item
from occlusionformer.evaluation.benchmarks.source import LoadedItems, Source, checked_key, files_in
from occlusionformer.evaluation.benchmarks.truths import truth_of
from occlusionformer.layout import LayoutError, read_layout
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import shown
from occlusionformer.layout.text import parse_json, parse_json_lines, text_of


class DenseLayoutSettings(Document):
    files: tuple[str, ...] = Field(description="Patterns for JSON files of one record or a list, or JSON lines.")


def read(settings: DenseLayoutSettings, folder: Path) -> LoadedItems:
    loaded = LoadedItems(files=files_in(folder, settings.files))
    for path in loaded.files:
        records: list[Any] = []
        with loaded.row(path.name):
            records = list(_records(path))
        for place, record in enumerate(records):
            with loaded.row(f"{path.name} record {place}"):
                loaded.items.append(_item(record, path.stem))
    return loaded


def _records(path: Path) -> Iterator[Any]:
    text = text_of(path)
    value = parse_json_lines(text) if path.suffix == ".jsonl" else parse_json(text)
    yield from value if isinstance(value, list) else [value]


def _item(record: Any, stem: str) -> Item:
    """A record without an id goes by the name of its file."""
    if not isinstance(record, Mapping):
        raise LayoutError([f"expected an object, got {shown(record)}"])
    layout = read_layout(record, "published")
    return Item(key=checked_key(record.get("id", stem)), layout=layout, truth=truth_of(layout))


DENSELAYOUT = Source(name="denselayout", settings=DenseLayoutSettings, read=read)
