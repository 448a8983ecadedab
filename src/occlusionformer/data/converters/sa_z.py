"""The published SA-Z file: one JSON object with a record for every image id; and back to it without loss.

The file is `{"<image id>": {image_id, folder_name, image_path, prompt, mask_annotation: [...], pred_order}, ...}`; a
list of such records is read as well. A row of `mask_annotation` has id, bbox [x, y, width, height] in pixels of the
picture, area, segmentation (COCO run lengths of the visible mask), predicted_iou, point_coords, crop_box,
stability_score and caption. `pred_order[i][j] == 1` says that row i hides part of row j.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from occlusionformer.data.converters.json_stream import JsonStream
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.converters.sa_z_problems import row_problems
from occlusionformer.data.held_out import SA_Z
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import (
    Box,
    Mask,
    Matrix,
    Record,
    RecordInstance,
    RecordOrigin,
    Step,
    record_of_part,
)
from occlusionformer.data.records.repairs import Repairs
from occlusionformer.data.records.staging import replaced
from occlusionformer.layout.problems import Problem
from occlusionformer.tensors.runs import compressed, run_lengths

KEY, MISSING = "@key", "@missing"
"""Names in `extra` for what no field of the file can say: under which key a record was, and what it lacked."""

HELD = frozenset({"image_id", "image_path", "prompt", "mask_annotation", "pred_order"})
"""Fields of a record that our records have in a form of their own; the others are kept in `extra`."""
HELD_IN_ROW = frozenset({"id", "bbox", "segmentation", "caption"})

LONGEST_NUMBER = 18
"""Digits of ids that are written as numbers; longer ones might not fit 64 bits."""

ENTRIES = frozenset({-1, 0, 1})


def read_sa_z(path: str | Path, *, repairs: Repairs | None = None) -> Iterator[Record | BadRecordError]:
    """All records of a file, one in memory at a time; BadRecordError in the place of those that cannot be read.

    With `repairs`, rows of `mask_annotation` that cannot be read are left out and told there.
    """
    source = Path(path)
    provenance = RecordOrigin(
        dataset=SA_Z,
        source=source.name,
        license="other",
        steps=(Step(stage="caption", model="nvidia/DAM-3B"), Step(stage="order", model="InstaOrder")),
    )
    reader = _Reader(provenance, from_extra("orjson").dumps)
    with JsonStream(source) as stream:
        for key, value in stream.members():
            try:
                yield reader.record(key, value)
            except _UnfitError:
                problems = row_problems(value)
                mended = None if repairs is None else _without_bad_rows(value, problems)
                if repairs is None or mended is None:
                    yield BadRecordError(source.name, key, problems)
                else:
                    repairs.note(source.name, key, (Problem(p.path, f"instance left out: {p.text}") for p in problems))
                    yield reader.record(key, mended)


def sa_z_row(record: Record) -> tuple[str | None, dict[str, Any]]:
    """Key and fields of a record in the published file; no key for one that was read from a list."""
    loads = from_extra("orjson").loads
    kept = loads(record.extra)
    missing = kept.pop(MISSING, ())
    row: dict[str, Any] = {
        "image_id": _number_if_one(record.image_id),
        "image_path": record.image_path,
        "prompt": record.prompt,
        "mask_annotation": [_annotation(instance, loads) for instance in record.instances],
        "pred_order": record.order,
    }
    for name in (*missing, *(name for name in ("image_path", "pred_order") if row[name] is None)):
        del row[name]
    key = kept.pop(KEY, record.image_id)
    return key, {**row, **kept}


def write_sa_z(records: Iterable[Record], path: str | Path, *, lossy: bool = False) -> int:
    """Write the published file; gives the number of its records.

    Raises ValueError for a record that knows more than the file can say, unless `lossy`: then instances without a
    visible box, hidden ones among them, are left out with the rest.
    """
    dumps = from_extra("orjson").dumps
    count = 0
    is_list = False
    with replaced(path) as file:
        for record in records:
            if not lossy and (lost := beyond_sa_z(record)):
                raise ValueError("\n".join(f"{record.image_id}: {line}" for line in lost))
            seen = [place for place, each in enumerate(record.instances) if each.visible_box is not None]
            key, row = sa_z_row(record_of_part(record, seen))
            if count == 0:
                is_list = key is None
                file.write(b"[" if is_list else b"{")
            elif is_list != (key is None):
                raise ValueError(f"{record.image_id}: expected all records from a file with image ids as keys, or none")
            file.write((b",\n" if count else b"\n") + (b"" if is_list else dumps(key) + b": ") + dumps(row))
            count += 1
        file.write((b"{" if count == 0 else b"") + (b"\n]" if is_list else b"\n}") + b"\n")
    return count


def beyond_sa_z(record: Record) -> list[str]:
    """Problems: values of a record that the published file cannot hold."""
    lost = [
        f"{name}: SA-Z cannot hold it"
        for name in ("order_confidence", "depth", "depth_confidence")
        if getattr(record, name) is not None
    ]
    for place, instance in enumerate(record.instances):
        names = [name for name in ("category", "amodal_box", "amodal_mask") if getattr(instance, name) is not None]
        lost += [f"instances[{place}].{name}: SA-Z cannot hold it" for name in names]
        if instance.visible_box is None:
            lost.append(f"instances[{place}].visible_box: SA-Z cannot be without it")
    return lost


def _without_bad_rows(value: Any, problems: Sequence[Problem]) -> dict[str, Any] | None:
    """A record without its unreadable rows; None if that does not help, or no row would be left."""
    bad = {
        problem.path[1] for problem in problems if problem.path[:1] == ("mask_annotation",) and len(problem.path) > 1
    }
    if any(problem.path[:1] != ("mask_annotation",) or len(problem.path) < 2 for problem in problems):
        return None
    kept = [place for place in range(len(value["mask_annotation"])) if place not in bad]
    mended = {**value, "mask_annotation": [value["mask_annotation"][place] for place in kept]}
    if value.get("pred_order") is not None:
        mended["pred_order"] = [[value["pred_order"][row][column] for column in kept] for row in kept]
    return mended if kept and not row_problems(mended) else None


class _UnfitError(Exception):
    """A record does not fit; what exactly is wrong is determined afterwards, by `sa_z_problems`."""


class _Reader:
    """Reads the records of one file; the fast path, which only tells whether a record fits."""

    def __init__(self, provenance: RecordOrigin, dumps: Any) -> None:
        self._provenance = provenance
        self._dumps = dumps

    def record(self, key: str | int, value: Any) -> Record:
        try:
            rows = value["mask_annotation"]
            height, width = _size(value, rows)
            instances = tuple([self._instance(row, height, width) for row in rows])
            order = _order(value, len(rows))
            image_id, image_path, prompt = value.get("image_id", key), value.get("image_path"), value["prompt"]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _UnfitError from None
        if not (
            type(image_id) in (str, int) and type(prompt) is str and (image_path is None or type(image_path) is str)
        ):
            raise _UnfitError
        kept = {name: value[name] for name in value if name not in HELD}
        if key != str(image_id):
            kept[KEY] = None if isinstance(key, int) else key
        if "image_id" not in value:
            kept[MISSING] = ["image_id"]
        elif _number_if_one(str(image_id)) != image_id:
            kept["image_id"] = image_id
        for name in ("image_path", "pred_order"):
            if name in value and value[name] is None:
                kept[name] = None
        return Record(
            image_id=str(image_id),
            width=width,
            height=height,
            prompt=prompt,
            instances=instances,
            order=order,
            image_path=image_path,
            provenance=self._provenance,
            extra=self._json(kept),
        )

    def _instance(self, row: Mapping[str, Any], height: int, width: int) -> RecordInstance:
        identifier, caption = row["id"], row["caption"]
        kept = {name: row[name] for name in row if name not in HELD_IN_ROW}
        box = _box(row["bbox"], kept)
        mask = None
        if "segmentation" in row:
            segmentation = row["segmentation"]
            counts = segmentation["counts"]
            if type(counts) is not str:
                counts = _compressed(counts)
            if segmentation["size"] != [height, width]:
                raise _UnfitError
            if len(segmentation) != 2 or counts is not segmentation["counts"]:
                kept["segmentation"] = segmentation
            mask = Mask(height=height, width=width, counts=counts)
        if type(caption) is not str or type(identifier) not in (int, str):
            raise _UnfitError
        if not (type(identifier) is int and 0 <= identifier < 10**LONGEST_NUMBER) and (
            _number_if_one(str(identifier)) != identifier
        ):
            kept["id"] = identifier
        return RecordInstance(
            id=str(identifier),
            caption=caption,
            visible_box=box,
            visible_mask=mask,
            extra=self._json(kept),
        )

    def _json(self, value: Mapping[str, Any]) -> str:
        try:
            text: str = self._dumps(value).decode()
        except TypeError:
            raise _UnfitError from None
        return text


def _size(value: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> tuple[int, int]:
    """Height and width in pixels: of the masks, or the record's own fields if it has none."""
    mask = next((row["segmentation"] for row in rows if "segmentation" in row), None)
    height, width = (value["height"], value["width"]) if mask is None else mask["size"]
    if type(height) is not int or type(width) is not int:
        raise _UnfitError
    return height, width


def _box(bbox: list[float], kept: dict[str, Any]) -> Box:
    """Corners of a box; the original numbers are kept in `extra` where they could not be restored."""
    x, y, width, height = bbox
    x2, y2 = x + width, y + height
    if not (type(x) is type(y) is type(width) is type(height) is float and x2 - x == width and y2 - y == height):
        if any(type(number) not in (int, float) for number in bbox):
            raise _UnfitError
        kept["bbox"] = bbox
    return float(x), float(y), float(x2), float(y2)


def _order(value: Mapping[str, Any], count: int) -> Matrix | None:
    matrix = value.get("pred_order")
    if matrix is None:
        return None
    entries = list(chain.from_iterable(matrix))
    is_square = len(matrix) == count and set(map(len, matrix)) <= {count}
    if not is_square or not ENTRIES.issuperset(entries) or not set(map(type, entries)) <= {int}:
        raise _UnfitError
    if any(entries[:: count + 1]):
        raise _UnfitError
    return tuple(map(tuple, matrix))


def _compressed(counts: list[int]) -> str:
    try:
        return compressed(run_lengths(counts))
    except ValueError:
        raise _UnfitError from None


def _annotation(instance: RecordInstance, loads: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"id": _number_if_one(instance.id)}
    if instance.visible_box is not None:
        x1, y1, x2, y2 = instance.visible_box
        row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
    if instance.visible_mask is not None:
        row["segmentation"] = instance.visible_mask.coco()
    return {**row, "caption": instance.caption, **loads(instance.extra)}


def _number_if_one(identifier: str) -> str | int:
    """An id as a number if it can be one: the published file has numbers."""
    is_number = identifier.isascii() and identifier.isdigit() and (identifier[0] != "0" or identifier == "0")
    return int(identifier) if is_number and len(identifier) <= LONGEST_NUMBER else identifier
