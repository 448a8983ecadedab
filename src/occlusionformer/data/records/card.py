"""Writes the files beside the shards: record schema, statistics, and a README card for readers and the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from occlusionformer.data.records.record import CocoMask, Record
from occlusionformer.data.records.statistics import statistics_of
from occlusionformer.layout import write_atomic

SCHEMA_FILE = "record.schema.json"
STATISTICS_FILE = "statistics.json"
CARD_FILE = "README.md"


def record_schema() -> dict[str, Any]:
    """JSON Schema of a record as `to_plain` and the rows of a shard give it."""
    schema = TypeAdapter(Record).json_schema()
    mask = TypeAdapter(CocoMask).json_schema()
    schema["$defs"]["Mask"] = {**mask, "title": "Mask", "description": schema["$defs"]["Mask"]["description"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_descriptions(folder: str | Path) -> dict[str, Any]:
    """Write schema, statistics and card of a data set with finished shards; return the statistics."""
    root = Path(folder)
    statistics = statistics_of(root)
    write_atomic(root / SCHEMA_FILE, _json(record_schema()))
    write_atomic(root / STATISTICS_FILE, _json(statistics))
    write_atomic(root / CARD_FILE, card(statistics))
    return statistics


def card(statistics: dict[str, Any]) -> str:
    """Markdown, with the header the Hub and `datasets` read: which files make which split."""
    splits = statistics["splits"]
    files = [f"  - split: {split}\n    path: data/{split}-*.parquet" for split in splits]
    header = ["---", "configs:", "- config_name: default", "  data_files:", *files, "---"]
    sources = sorted({name for split in splits.values() for name in split["datasets"]})
    body = [
        "# Pictures with z-order",
        "",
        f"{statistics['records']:,} pictures with {statistics['instances']:,} instances, from {', '.join(sources)}.",
        "",
        "| | " + " | ".join(splits) + " |",
        "|---|" + "---|" * len(splits),
        *(_row(words, [split[name] for split in splits.values()]) for name, words in _ROWS.items()),
        "",
        "`data/SPLIT-NUMBER.parquet` holds the records, the tar of the same name their pictures, where there are any. "
        f"`{SCHEMA_FILE}` says what a record is made of.",
        "",
        "Boxes are pixels x1, y1, x2, y2 of the picture once it is upright by EXIF. Masks are COCO run lengths. "
        "`order[i][j]` is 1 where instance i hides part of instance j, 0 where not, -1 where nobody knows; "
        "`depth[i][j]` is 1 where i is closer than j, 0 farther, 2 as close, -1 unknown.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'load_dataset("parquet", data_files="data/{next(iter(splits))}-*.parquet")',
        "```",
        "",
    ]
    return "\n".join([*header, "", *body])


_ROWS = {
    "records": "pictures",
    "pictures": "of them in the tars",
    "prompts": "with a prompt",
    "orders": "with an order",
    "depths": "with depths",
    "records_with_loops": "whose order has a loop",
    "instances": "instances",
    "captions": "with a caption",
    "words_per_caption": "words in a caption",
    "with_visible_mask": "with a visible mask",
    "with_amodal_mask": "with an amodal mask",
    "occluded_instances": "hidden in part by another",
    "edges": "relations front > behind",
    "mutual_pairs": "pairs that hide each other",
}


def _row(words: str, values: list[Any]) -> str:
    return f"| {words} | " + " | ".join(f"{value:,}" for value in values) + " |"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
