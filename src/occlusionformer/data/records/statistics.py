"""Statistics of a data set, counted from columns, without reading masks or pictures.

Arrays: R records, N instances of all records, E entries of all matrices.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from occlusionformer.data.records.columns import hidden_instances
from occlusionformer.data.records.folder import RecordFolder
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import OCCLUDES
from occlusionformer.data.records.shards import RecordShard

VERSION = 1
SIZE_BINS = 10
"""Bins of the side of an instance, as the square root of its share of the picture."""

COLUMNS = ["width", "height", "prompt", "order", "depth", "image_file", "provenance.dataset"]
INSTANCE_COLUMNS = ["caption", "visible_box", "amodal_box", "visible_mask.size", "amodal_mask.size"]


@dataclass
class _Count:
    """The numbers of a split, shard by shard."""

    totals: Counter[str] = field(default_factory=Counter)
    per_record: Counter[int] = field(default_factory=Counter)
    datasets: Counter[str] = field(default_factory=Counter)
    sides: np.ndarray = field(default_factory=lambda: np.zeros(SIZE_BINS, dtype=np.int64))
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)


def statistics_of(folder: str | Path) -> dict[str, Any]:
    """Statistics of all splits as JSON values."""
    counts: dict[str, _Count] = {}
    for shard in RecordFolder(folder).shards:
        try:
            _add(counts.setdefault(shard.split, _Count()), RecordShard(shard.path))
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith(str(shard.path)) else f"{shard.path}: {text}") from None
    splits = {split: _described(count) for split, count in counts.items()}
    totals = {name: sum(split[name] for split in splits.values()) for name in ("records", "instances")}
    return {"version": VERSION, **totals, "splits": splits}


def _add(count: _Count, shard: RecordShard) -> None:
    compute = from_extra("pyarrow.compute")
    names = [*COLUMNS, *(f"instances.{name}" for name in INSTANCE_COLUMNS)]
    table = shard.columns(names).combine_chunks()
    lengths_R = _array(compute.list_value_length(table["instances"]))
    instances = compute.list_flatten(table["instances"]).combine_chunks()
    captions = compute.utf8_trim_whitespace(instances.field("caption"))
    has_words = _array(compute.utf8_length(captions)) > 0
    words = _array(compute.list_value_length(compute.utf8_split_whitespace(captions)))
    count.per_record.update(lengths_R.tolist())
    count.datasets.update(compute.struct_field(table["provenance"], "dataset").to_pylist())
    for name, sides in (("width", count.widths), ("height", count.heights)):
        low_high = compute.min_max(table[name]).as_py()
        sides += [low_high["min"], low_high["max"]] if len(table) else []
    count.totals.update(
        records=len(table),
        instances=len(instances),
        shards=1,
        words=int(words[has_words].sum()),
        captions=int(np.count_nonzero(has_words)),
        prompts=int(np.count_nonzero(_array(compute.utf8_length(table["prompt"])))),
        **{name: len(table) - table[name].null_count for name in ("order", "depth", "image_file")},
        **{name: len(instances) - instances.field(name).null_count for name in ("visible_mask", "amodal_mask")},
    )
    count.totals["hidden_instances"] += int(hidden_instances(instances).sum())
    count.sides += _sides(table, instances, lengths_R)
    count.totals.update(_relations(table["order"].combine_chunks(), lengths_R))


def _sides(table: Any, instances: Any, lengths_R: np.ndarray) -> np.ndarray:
    """Histogram of the side of instances over the picture's, by the amodal box where it is known."""
    compute = from_extra("pyarrow.compute")
    boxes = compute.coalesce(instances.field("amodal_box"), instances.field("visible_box")).drop_null()
    area_R = _array(table["width"]).astype(float) * _array(table["height"])
    known = _array(instances.field("amodal_box").is_valid()) | _array(instances.field("visible_box").is_valid())
    canvas_N = np.repeat(area_R, lengths_R)[known]
    box_N4 = _array(boxes.flatten()).reshape(-1, 4)
    share_N = np.prod(np.maximum(box_N4[:, 2:] - box_N4[:, :2], 0), axis=1) / canvas_N
    return np.histogram(np.minimum(np.sqrt(share_N), 1), bins=SIZE_BINS, range=(0, 1))[0]


def _relations(order: Any, lengths_R: np.ndarray) -> dict[str, int]:
    """Edges of all orders, pairs that go both ways, instances hidden by something, records with a loop."""
    sizes_R = np.where(_array(order.is_valid()), lengths_R, 0)
    is_edge_E = _array(order.flatten().flatten()) == OCCLUDES
    if len(is_edge_E) != (sizes_R**2).sum():
        raise ValueError("order: expected as many rows and columns as instances; `data validate` names the record")
    record_E = np.repeat(np.arange(len(sizes_R)), sizes_R**2)
    first_E = np.repeat(np.cumsum(sizes_R**2) - sizes_R**2, sizes_R**2)
    start_E = np.repeat(np.cumsum(sizes_R) - sizes_R, sizes_R**2)
    row_E, column_E = np.divmod(np.arange(len(is_edge_E)) - first_E, np.maximum(sizes_R[record_E], 1))
    back_E = first_E + column_E * sizes_R[record_E] + row_E
    fronts, behinds = (start_E + row_E)[is_edge_E], (start_E + column_E)[is_edge_E]
    looping = _in_loops(fronts, behinds, int(sizes_R.sum()))
    record_N = np.repeat(np.arange(len(sizes_R)), sizes_R)
    return {
        "edges": len(fronts),
        "mutual_pairs": int(np.count_nonzero(is_edge_E & is_edge_E[back_E])) // 2,
        "occluded_instances": len(np.unique(behinds)),
        "records_with_loops": len(np.unique(record_N[looping])),
    }


def _in_loops(fronts: np.ndarray, behinds: np.ndarray, count: int) -> np.ndarray:
    """(N,) bool: instances left over once those that nothing is in front of have been taken away, again and again."""
    left = np.ones(count, dtype=bool)
    while True:
        alive = left[fronts] & left[behinds]
        covered = np.zeros(count, dtype=bool)
        covered[behinds[alive]] = True
        if (covered == left).all():
            return left
        left = covered


def _described(count: _Count) -> dict[str, Any]:
    totals = count.totals
    return {
        "records": totals["records"],
        "shards": totals["shards"],
        "instances": totals["instances"],
        "instances_per_record": {str(number): count.per_record[number] for number in sorted(count.per_record)},
        "with_visible_mask": totals["visible_mask"],
        "with_amodal_mask": totals["amodal_mask"],
        "hidden_instances": totals["hidden_instances"],
        "captions": totals["captions"],
        "words_per_caption": round(totals["words"] / max(totals["captions"], 1), 2),
        "prompts": totals["prompts"],
        "orders": totals["order"],
        "depths": totals["depth"],
        "pictures": totals["image_file"],
        **{name: totals[name] for name in ("edges", "mutual_pairs", "occluded_instances", "records_with_loops")},
        "side_of_instances": count.sides.tolist(),
        "widths": [min(count.widths), max(count.widths)] if count.widths else [],
        "heights": [min(count.heights), max(count.heights)] if count.heights else [],
        "datasets": dict(sorted(count.datasets.items())),
    }


def _array(column: Any) -> np.ndarray:
    array: np.ndarray = (column.combine_chunks() if hasattr(column, "combine_chunks") else column).to_numpy(
        zero_copy_only=False
    )
    return array
