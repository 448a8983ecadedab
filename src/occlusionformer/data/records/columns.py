"""Records as Arrow tables: the columns of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Mask, Record, RecordInstance, from_plain, to_plain

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_COLUMNS = ("image_path", "image_file", "image_sha256")
MATRIX_COLUMNS = ("order", "order_confidence", "depth", "depth_confidence")


@lru_cache(maxsize=1)
def schema() -> pa.Schema:
    """The columns, in the order of the fields of a record; what may be missing is nullable."""
    arrow: Any = from_extra("pyarrow")

    def always(name: str, kind: Any) -> Any:
        return arrow.field(name, kind, nullable=False)

    def matrix(number: Any) -> Any:
        return arrow.list_(arrow.list_(number))

    text = arrow.string()
    step = arrow.struct([always(name, text) for name in ("stage", "model", "revision", "config")])
    provenance = [always(name, text) for name in ("dataset", "source", "license")]
    return arrow.schema(
        [
            always("image_id", text),
            always("width", arrow.int32()),
            always("height", arrow.int32()),
            always("prompt", text),
            always("instances", arrow.list_(_instance_type())),
            arrow.field("order", matrix(arrow.int8())),
            arrow.field("order_confidence", matrix(arrow.float64())),
            arrow.field("depth", matrix(arrow.int8())),
            arrow.field("depth_confidence", matrix(arrow.float64())),
            *(arrow.field(name, text) for name in TEXT_COLUMNS),
            always("provenance", arrow.struct([*provenance, always("steps", arrow.list_(step))])),
            always("extra", text),
        ]
    )


def to_table(records: Sequence[Record]) -> pa.Table:
    """Records as an Arrow table, one row each."""
    arrow: Any = from_extra("pyarrow")
    columns = schema()
    arrays = {
        name: arrow.array(list(map(attrgetter(name), records)), type=columns.field(name).type)
        for name in ("image_id", "width", "height", "prompt", *MATRIX_COLUMNS, *TEXT_COLUMNS, "extra")
    }
    arrays["instances"] = _instances(records)
    arrays["provenance"] = _provenances(records, columns.field("provenance").type)
    return arrow.Table.from_arrays([arrays[name] for name in columns.names], schema=columns)


def from_table(table: pa.Table) -> list[Record]:
    """The records of a table that has exactly the columns of `schema`, as `spelling.conformed` makes it."""
    return [from_plain(row) for row in table.to_pylist()]


def hidden_instances(instances: Any) -> np.ndarray:
    """(N,) bool, for a struct array of instances: hidden ones, which have a visible mask but no visible box."""
    is_hidden: np.ndarray = (
        from_extra("pyarrow.compute")
        .and_(instances.field("visible_mask").is_valid(), instances.field("visible_box").is_null())
        .to_numpy(zero_copy_only=False)
    )
    return is_hidden


@lru_cache(maxsize=1)
def _instance_type() -> Any:
    arrow: Any = from_extra("pyarrow")
    text, box = arrow.string(), arrow.list_(arrow.float64())
    mask = arrow.struct(
        [
            arrow.field("size", arrow.list_(arrow.int32()), nullable=False),
            arrow.field("counts", text, nullable=False),
        ]
    )
    return arrow.struct(
        [
            arrow.field("id", text, nullable=False),
            arrow.field("caption", text, nullable=False),
            arrow.field("category", text),
            arrow.field("visible_box", box),
            arrow.field("amodal_box", box),
            arrow.field("visible_mask", mask),
            arrow.field("amodal_mask", mask),
            arrow.field("extra", text, nullable=False),
        ]
    )


def _instances(records: Sequence[Record]) -> Any:
    """Built column by column: through dicts it would take three times as long."""
    arrow: Any = from_extra("pyarrow")
    instances = [instance for record in records for instance in record.instances]
    kind = _instance_type()
    children = []
    for field in kind:
        if field.name.endswith("_mask"):
            children.append(_masks(list(map(attrgetter(field.name), instances)), field.type))
        else:
            children.append(_column(instances, field))
    offsets = np.cumsum([0, *(len(record.instances) for record in records)], dtype=np.int32)
    structs = arrow.StructArray.from_arrays(children, fields=list(kind))
    return arrow.ListArray.from_arrays(arrow.array(offsets), structs)


def _column(instances: Sequence[RecordInstance], field: Any) -> Any:
    arrow: Any = from_extra("pyarrow")
    return arrow.array(list(map(attrgetter(field.name), instances)), type=field.type)


def _masks(masks: Sequence[Mask | None], kind: Any) -> Any:
    arrow: Any = from_extra("pyarrow")
    known = [mask for mask in masks if mask is not None]
    missing = np.zeros(len(masks), dtype=bool)
    if len(known) < len(masks):
        missing[:] = [mask is None for mask in masks]
    sides = np.array([list(map(attrgetter("height"), known)), list(map(attrgetter("width"), known))], dtype=np.int32)
    # Parquet writers of before 2025 refuse a list with elements inside of nothing.
    offsets = arrow.array(np.cumsum([0, *np.where(missing, 0, 2)], dtype=np.int32))
    texts = np.full(len(masks), "", dtype=object)
    texts[~missing] = list(map(attrgetter("counts"), known))
    return arrow.StructArray.from_arrays(
        [
            arrow.ListArray.from_arrays(offsets, arrow.array(sides.T.reshape(-1))),
            arrow.array(texts, type=arrow.string()),
        ],
        fields=list(kind),
        mask=arrow.array(missing) if missing.any() else None,
    )


def _provenances(records: Sequence[Record], kind: Any) -> Any:
    """Few are different, so each is converted once."""
    arrow: Any = from_extra("pyarrow")
    different = list(dict.fromkeys(record.provenance for record in records))
    place = {provenance: number for number, provenance in enumerate(different)}
    values = arrow.array([to_plain(provenance) for provenance in different], type=kind)
    return values.take(arrow.array([place[record.provenance] for record in records], type=arrow.int32()))
