"""OverLayBench: Parquet files with a picture and an annotation, which is a Python literal.

Boxes are corners in pixels of 1024 x 1024; there are no masks and no order. `relations` and `valid_overlap` stay in
`extra`, since they belong to the evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.refusal import BadRecordError, kept_rows
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Record, RecordInstance, RecordOrigin, record_of_part
from occlusionformer.data.records.repairs import Repairs
from occlusionformer.data.records.shards import Item
from occlusionformer.layout import LayoutError
from occlusionformer.layout.literal import parse_literal
from occlusionformer.layout.problems import shown
from occlusionformer.pictures import is_dot_file

SIDE = 1024
ROWS_AT_A_TIME = 16
"""Rows read at once: pictures are about a megabyte each."""


def read_overlaybench(path: str | Path, *, repairs: Repairs | None = None) -> Iterator[Item | BadRecordError]:
    """Records with their pictures, of a Parquet file or of all in a folder. Rows without an id are numbered.

    With `repairs`, instances that cannot be read are left out and told there.
    """
    source = Path(path)
    files = sorted(file for file in source.rglob("*.parquet") if not is_dot_file(file)) if source.is_dir() else [source]
    if not files:
        raise ValueError(f"{source}: expected Parquet files, got none")
    for file in files:
        for place, row in enumerate(_rows(file)):
            yield _item(row, file, place, repairs)


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


def _item(row: dict[str, Any], file: Path, place: int, repairs: Repairs | None) -> Item | BadRecordError:
    image_id = row.get("image_id")
    name = f"{file.stem}-{place}" if image_id is None else str(image_id)
    try:
        value = parse_literal(_text(row["annotation"]))
    except LayoutError as error:
        return BadRecordError(file.name, name, [problem.under(("annotation",)) for problem in error.details])
    annotation = Fields(value, ("annotation",), repairs=None if repairs is None else [])
    whole = annotation.at("annotations", value=annotation.value.get("annotations"))
    instances = tuple(_instance(key, whole.at(_key(key), value=value)) for key, value in whole.value.items())
    kept = kept_rows(annotation, ("annotation", "annotations"), [_key(key) for key in whole.value])
    prompt = annotation.text("caption")
    extra = annotation.json({key: annotation.value[key] for key in ("relations", "valid_overlap") if key in annotation})
    if annotation.problems:
        return BadRecordError(file.name, name, annotation.problems)
    if repairs is not None:
        repairs.note(file.name, name, annotation.repairs or ())
    picture = row.get("image")
    if isinstance(picture, bytes):
        picture = {"bytes": picture}
    picture = picture if isinstance(picture, dict) else {}
    record = Record(
        image_id=name,
        width=SIDE,
        height=SIDE,
        prompt=prompt,
        instances=instances,
        image_path=picture.get("path") or None,
        provenance=RecordOrigin(dataset="OverLayBench", source=file.name, license="CC BY-NC 4.0"),
        extra=extra,
    )
    return record_of_part(record, kept), picture.get("bytes")


def _text(value: object) -> str:
    """A field of an annotation as text; the column may hold any type."""
    if isinstance(value, str):
        return value
    raise LayoutError([f"expected a Python literal as text, got {shown(value)}"])


def _key(key: object) -> str:
    return key if isinstance(key, str) else repr(key)


def _instance(key: object, row: Fields) -> RecordInstance:
    if not isinstance(key, str):
        row.report("expected text as the id of an instance", key)
    box = row.box("bbox", has_corners=True)
    if box is None and row.value.get("bbox") is None:
        row.report("expected four numbers x1, y1, x2, y2", None, "bbox")
    return RecordInstance(
        id=_key(key),
        caption=row.text("local_prompts"),
        category=row.text("category") if "category" in row else None,
        visible_box=box,
    )
