"""OverLayBench: Parquet files with a picture and an annotation, which is a Python literal.

Boxes are corners in pixels of 1024 x 1024; there are no masks and no order. `relations` and `valid_overlap` stay in
`extra`, since they belong to the evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Provenance, Record, RecordInstance
from occlusionformer.data.records.shards import Item
from occlusionformer.layout import LayoutError
from occlusionformer.layout.text import parse_literal

SIDE = 1024
ROWS_AT_A_TIME = 16
"""Pictures are about a megabyte each."""


def read_overlaybench(path: str | Path) -> Iterator[Item | BadRecordError]:
    """Records with their pictures, of a Parquet file or of all in a folder. Rows without an id are numbered."""
    source = Path(path)
    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    if not files:
        raise ValueError(f"{source}: expected Parquet files, got none")
    for file in files:
        for place, row in enumerate(_rows(file)):
            yield _item(row, file, place)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    arrow, parquet = from_extra("pyarrow"), from_extra("pyarrow.parquet")
    try:
        table = parquet.ParquetFile(file)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{file}: expected a Parquet file: {error}") from None
    if "annotation" not in table.schema_arrow.names:
        raise ValueError(f"{file}: annotation: expected this column, got none")
    for batch in table.iter_batches(batch_size=ROWS_AT_A_TIME):
        yield from batch.to_pylist()


def _item(row: dict[str, Any], file: Path, place: int) -> Item | BadRecordError:
    image_id = row.get("image_id")
    name = f"{file.stem}-{place}" if image_id is None else str(image_id)
    try:
        annotation = Fields(parse_literal(row["annotation"] or ""), ("annotation",))
    except LayoutError as error:
        return BadRecordError(file.name, name, [problem.under(("annotation",)) for problem in error.details])
    whole = annotation.at("annotations", value=annotation.value.get("annotations"))
    instances = tuple(
        _instance(identifier, whole.at(identifier, value=value)) for identifier, value in whole.value.items()
    )
    kept = {key: annotation.value[key] for key in ("relations", "valid_overlap") if key in annotation}
    prompt = annotation.text("caption")
    if annotation.problems:
        return BadRecordError(file.name, name, annotation.problems)
    picture = row.get("image") or {}
    record = Record(
        image_id=name,
        width=SIDE,
        height=SIDE,
        prompt=prompt,
        instances=instances,
        image_path=picture.get("path") or None,
        provenance=Provenance(dataset="OverLayBench", source=file.name, license="CC BY-NC 4.0"),
        extra=from_extra("orjson").dumps(kept).decode(),
    )
    return record, picture.get("bytes")


def _instance(identifier: str, row: Fields) -> RecordInstance:
    box = row.box("bbox", has_corners=True)
    if box is None and "bbox" not in row:
        row.report("expected four numbers x1, y1, x2, y2", None, "bbox")
    return RecordInstance(
        id=identifier,
        caption=row.text("local_prompts"),
        category=row.text("category") if "category" in row else None,
        visible_box=box,
    )
