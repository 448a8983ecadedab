"""COCOA and BSDS-A: regions drawn amodally, each picture by one or several people.

`depth_constraint` is a list "i-j,..." of regions counted from 1: i is in front of j. A `visible_mask` without a set
pixel says that the region is hidden.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from occlusionformer.data.converters.coco import CocoImage, read_images
from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.json_stream import JsonStream
from occlusionformer.data.converters.refusal import BadRecordError, kept_rows
from occlusionformer.data.records.checking_masks import BOX_SLACK
from occlusionformer.data.records.masks import box_of, is_empty
from occlusionformer.data.records.record import (
    APART,
    OCCLUDES,
    Box,
    Mask,
    Matrix,
    Record,
    RecordInstance,
    RecordOrigin,
    record_of_part,
)
from occlusionformer.data.records.repairs import Repairs
from occlusionformer.layout.problems import Problem

PAIR = re.compile(r"\s*([0-9]{1,9})\s*-\s*([0-9]{1,9})\s*")
HELD = frozenset({"segmentation", "name", "visible_mask", "invisible_mask"})


def read_cocoa(path: str | Path, *, repairs: Repairs | None = None) -> Iterator[Record | BadRecordError]:
    """One record for each annotation; the second and further ones of a picture have `-2`, `-3` after its id.

    With `repairs`, what leaving out a region, a polygon, a relation or an annotation of no image puts right is put
    right and told there.
    """
    source = Path(path)
    images = read_images(source)
    provenance = RecordOrigin(dataset="COCOA", source=source.name, license="CC BY 4.0")
    times: Counter[int] = Counter()
    with JsonStream(source) as stream:
        for place, value in enumerate(stream.elements("annotations")):
            row = Fields(value, repairs=None if repairs is None else [])
            image = images.get(row.number("image_id"))
            if image is None and not row.problems:
                row.report("expected the id of an image of this file", row.value["image_id"], "image_id")
            if image is None and repairs is not None:
                repairs.note(
                    source.name, place, (Problem(p.path, f"annotation left out: {p.text}") for p in row.problems)
                )
                repairs.keep()
            elif image is None:
                yield BadRecordError(source.name, place, row.problems)
            else:
                times[image.id] += 1
                suffix = f"-{times[image.id]}" if times[image.id] > 1 else ""
                yield _record(row, image, f"{image.id}{suffix}", provenance, repairs)


def _record(
    row: Fields, image: CocoImage, image_id: str, provenance: RecordOrigin, repairs: Repairs | None
) -> Record | BadRecordError:
    instances = tuple(_instance(region, place, image) for place, region in enumerate(row.rows("regions")))
    kept = kept_rows(row, ("regions",), range(len(instances)))
    record = Record(
        image_id=image_id,
        width=image.width,
        height=image.height,
        prompt=image.prompt,
        instances=instances,
        order=_order(row, len(instances)),
        image_path=image.path,
        provenance=provenance,
        extra=row.kept(("regions", "depth_constraint")),
    )
    if row.problems:
        return BadRecordError(provenance.source, image_id, row.problems)
    if repairs is not None:
        repairs.note(provenance.source, image_id, row.repairs or ())
    return record_of_part(record, kept)


def _instance(region: Fields, place: int, image: CocoImage) -> RecordInstance:
    """One region as an instance; without `visible_mask` all of it is visible."""
    amodal = region.mask("segmentation", image.height, image.width)
    visible = region.mask("visible_mask", image.height, image.width) or amodal
    visible_box = amodal_box = None
    if amodal is not None and visible is not None:
        if is_empty(amodal):
            region.report("expected a mask with at least one set pixel", region.value["segmentation"], "segmentation")
        else:
            amodal_box = _box_with_outline(amodal, region.value["segmentation"])
            visible_box = None if is_empty(visible) else box_of(visible)
    elif region.value.get("segmentation") is None:
        region.report("expected a polygon", None, "segmentation")
    return RecordInstance(
        id=str(place + 1),
        caption=region.text("name"),
        visible_box=visible_box,
        amodal_box=amodal_box,
        visible_mask=visible,
        amodal_mask=amodal,
        extra=region.kept(HELD),
    )


def _box_with_outline(mask: Mask, shape: Any) -> Box:
    """The box around the polygons' corners, which may lie outside the picture; inside it, it agrees with the mask."""
    inside = box_of(mask)
    rings = shape if isinstance(shape, list) and isinstance(shape[0], list) else [shape]
    rings = [ring for ring in rings if isinstance(ring, list) and len(ring) > 1]
    if not rings:
        return inside
    xs, ys = (
        [float(edge) for ring in rings for edge in ring[axis::2] if type(edge) in (int, float)] for axis in (0, 1)
    )
    outline = (min(xs), min(ys), max(xs), max(ys))
    edges = [
        outer if -side <= outer <= 2 * side and abs(min(max(outer, 0.0), side) - edge) <= BOX_SLACK else edge
        for outer, edge, side in zip(outline, inside, (mask.width, mask.height) * 2, strict=True)
    ]
    return edges[0], edges[1], edges[2], edges[3]


def _order(row: Fields, count: int) -> Matrix:
    order = [[APART] * count for _ in range(count)]
    text = row.text("depth_constraint") if row.value.get("depth_constraint") is not None else ""
    for pair in filter(str.strip, text.split(",")):
        found = PAIR.fullmatch(pair)
        front, behind = (int(number) - 1 for number in found.groups()) if found else (-1, -1)
        if front == behind or not (0 <= front < count and 0 <= behind < count):
            row.leave_out(f"expected two different regions i-j out of 1 to {count}", pair, "depth_constraint")
        else:
            order[front][behind] = OCCLUDES
    return tuple(map(tuple, order))
