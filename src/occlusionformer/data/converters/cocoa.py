"""COCOA and BSDS-A: regions drawn amodally, each picture by one or several people.

`depth_constraint` is a list "i-j,..." of regions counted from 1: i is in front of j.
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
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records.masks import box_of
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import APART, OCCLUDES, Box, Matrix, Provenance, Record, RecordInstance

PAIR = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*")
HELD = frozenset({"segmentation", "name", "visible_mask", "invisible_mask"})


def read_cocoa(path: str | Path) -> Iterator[Record | BadRecordError]:
    """One record for each annotation; the second and further ones of a picture have `-2`, `-3` after its id."""
    source = Path(path)
    images = read_images(source)
    provenance = Provenance(dataset="COCOA", source=source.name, license="CC BY 4.0")
    times: Counter[int] = Counter()
    with JsonStream(source) as stream:
        for place, value in enumerate(stream.elements("annotations")):
            row = Fields(value)
            image = images.get(row.number("image_id"))
            if image is None:
                row.report("expected the id of an image", row.value.get("image_id"), "image_id")
                yield BadRecordError(source.name, place, row.problems)
                continue
            times[image.id] += 1
            suffix = f"-{times[image.id]}" if times[image.id] > 1 else ""
            yield _record(row, image, f"{image.id}{suffix}", provenance)


def _record(row: Fields, image: CocoImage, image_id: str, provenance: Provenance) -> Record | BadRecordError:
    instances = tuple(_instance(region, place, image) for place, region in enumerate(row.rows("regions")))
    order = _order(row, len(instances))
    kept = {name: value for name, value in row.value.items() if name not in ("regions", "depth_constraint")}
    if row.problems:
        return BadRecordError(provenance.source, image_id, row.problems)
    return Record(
        image_id=image_id,
        width=image.width,
        height=image.height,
        prompt=image.prompt,
        instances=instances,
        order=order,
        image_path=image.path,
        provenance=provenance,
        extra=_json(kept),
    )


def _instance(region: Fields, place: int, image: CocoImage) -> RecordInstance:
    """A region without `visible_mask` is not hidden."""
    amodal = region.mask("segmentation", image.height, image.width)
    visible = region.mask("visible_mask", image.height, image.width) or amodal
    visible_box: Box | None = None
    if amodal is None or visible is None:
        if "segmentation" not in region:
            region.report("expected a polygon", None, "segmentation")
    else:
        try:
            visible_box, amodal_box = box_of(visible), box_of(amodal)
        except (ValueError, IndexError):
            region.report("expected masks with at least one set pixel", visible.counts, "visible_mask")
    return RecordInstance(
        id=str(place + 1),
        caption=region.text("name"),
        visible_box=visible_box,
        amodal_box=None if visible_box is None else _outline(region.value["segmentation"], amodal_box),
        visible_mask=visible,
        amodal_mask=amodal,
        extra=_json({name: value for name, value in region.value.items() if name not in HELD}),
    )


def _outline(shape: Any, inside: Box) -> Box:
    """Around the corners of a polygon, which may lie outside the picture."""
    corners = shape[0] if isinstance(shape, list) and isinstance(shape[0], list) else shape
    if not isinstance(corners, list):
        return inside
    return float(min(corners[::2])), float(min(corners[1::2])), float(max(corners[::2])), float(max(corners[1::2]))


def _order(row: Fields, count: int) -> Matrix:
    order = [[APART] * count for _ in range(count)]
    text = row.text("depth_constraint") if row.value.get("depth_constraint") is not None else ""
    for pair in filter(str.strip, text.split(",")):
        found = PAIR.fullmatch(pair)
        front, behind = (int(number) - 1 for number in found.groups()) if found else (-1, -1)
        if front == behind or not (0 <= front < count and 0 <= behind < count):
            row.report(f"expected two different regions i-j out of 1 to {count}", pair, "depth_constraint")
        else:
            order[front][behind] = OCCLUDES
    return tuple(map(tuple, order))


def _json(value: Any) -> str:
    text: str = from_extra("orjson").dumps(value).decode()
    return text
