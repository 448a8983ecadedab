"""COCO-style amodal data sets: every annotation has a visible and an amodal shape, under one of several names.

`segmentation` and `bbox` are amodal where the visible shape has a field of its own, and visible otherwise. Where an
annotation says which others it hides, by `occludes` with their ids, that is the order; where none does and all
have both masks, the order is read off the masks. A visible shape in run lengths without a set pixel says that the
instance is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlusionformer.data.converters.coco import (
    CocoImage,
    annotations_by,
    astray,
    caption_of,
    read_categories,
    read_images,
)
from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.occlusion import order_of_masks
from occlusionformer.data.converters.refusal import BadRecordError, kept_rows
from occlusionformer.data.records.masks import box_of, is_empty
from occlusionformer.data.records.record import APART, OCCLUDES, Box, Mask, Matrix, Record, RecordInstance, RecordOrigin
from occlusionformer.data.records.repairs import Repairs

Names = tuple[str, ...]

VISIBLE_MASKS = ("visible_mask", "visible_segm", "inmodal_seg", "i_segm")
AMODAL_MASKS = ("amodal_mask", "amodal_segm", "a_segm")
VISIBLE_BOXES = ("visible_bbox", "inmodal_bbox", "i_bbox")
AMODAL_BOXES = ("amodal_bbox", "a_bbox")
HELD = {*VISIBLE_MASKS, *AMODAL_MASKS, *VISIBLE_BOXES, *AMODAL_BOXES}
HELD |= {"segmentation", "bbox", "id", "image_id", "category_id", "caption", "occludes"}


def read_coco_amodal(
    path: str | Path, *, dataset: str = "COCO-style amodal", license: str = "", repairs: Repairs | None = None
) -> Iterator[Record | BadRecordError]:
    """Read records in the order of the file's `images`; images without annotations are left out.

    Annotations of images that are not there come first, as errors. With `repairs`, what leaving out an annotation or
    a polygon puts right is put right and told there.
    """
    source = Path(path)
    images, categories = read_images(source), read_categories(source)
    reader = _Reader(categories, RecordOrigin(dataset=dataset, source=source.name, license=license), repairs)
    with annotations_by(source, "image_id") as annotations:
        yield from astray(source, annotations, images, repairs)
        for image in images.values():
            if rows := annotations.places_of(image.id):
                yield reader.record(image, rows)


@dataclass(frozen=True)
class _Reader:
    """Builds the records of one file."""

    categories: dict[int, str]
    provenance: RecordOrigin
    repairs: Repairs | None

    def record(self, image: CocoImage, values: Sequence[tuple[int, Any]]) -> Record | BadRecordError:
        """The record of one picture from its annotations, each given with its index in the file."""
        whole = Fields({}, repairs=None if self.repairs is None else [])
        rows = [whole.at("annotations", place, value=value) for place, value in values]
        instances = [self._instance(row, image) for row in rows]
        _report_repeated_ids(rows)
        kept = kept_rows(whole, ("annotations",), [place for place, _ in values])
        rows, instances = [rows[place] for place in kept], [instances[place] for place in kept]
        order = None if whole.problems else _order(rows, instances)
        if whole.problems:
            return BadRecordError(self.provenance.source, image.id, whole.problems)
        if self.repairs is not None:
            self.repairs.note(self.provenance.source, image.id, whole.repairs or ())
        return Record(
            image_id=str(image.id),
            width=image.width,
            height=image.height,
            prompt=image.prompt,
            instances=tuple(instances),
            order=order,
            image_path=image.path,
            provenance=self.provenance,
        )

    def _instance(self, row: Fields, image: CocoImage) -> RecordInstance:
        has_visible_field = any(name in row for name in (*VISIBLE_MASKS, *VISIBLE_BOXES))
        visible_boxes, amodal_boxes = _names(VISIBLE_BOXES, AMODAL_BOXES, "bbox", has_visible_field)
        visible_masks, amodal_masks = _names(VISIBLE_MASKS, AMODAL_MASKS, "segmentation", has_visible_field)
        visible, amodal = _shape(row, visible_masks, image), _shape(row, amodal_masks, image)
        _report_what_is_nowhere(row, visible, amodal, amodal_boxes)
        caption, category = caption_of(row, self.categories)
        return RecordInstance(
            id=str(row.number("id")),
            caption=caption,
            category=category,
            visible_box=_box(row, visible_boxes, visible),
            amodal_box=_box(row, amodal_boxes, amodal),
            visible_mask=visible.mask,
            amodal_mask=amodal.mask,
            extra=row.kept(HELD),
        )


@dataclass(frozen=True)
class _Shape:
    """A shape of an annotation and the field it was read from; both None if the annotation has none."""

    name: str | None = None
    mask: Mask | None = None

    @property
    def is_empty(self) -> bool:
        return self.mask is not None and is_empty(self.mask)


def _names(visible: Names, amodal: Names, plain: str, is_amodal: bool) -> tuple[Names, Names]:
    """Names of fields, with the one that is amodal where the visible one has a field of its own."""
    return (visible, (*amodal, plain)) if is_amodal else ((*visible, plain), amodal)


def _shape(row: Fields, names: Sequence[str], image: CocoImage) -> _Shape:
    for name in names:
        if row.value.get(name) not in (None, []):
            return _Shape(name, row.mask(name, image.height, image.width))
    return _Shape()


def _box(row: Fields, names: Sequence[str], shape: _Shape) -> Box | None:
    """The given box, else the box of the mask; None for an empty mask."""
    name = next((name for name in names if name in row), None)
    if shape.is_empty:
        given = row.value.get(name) if name is not None else None
        if isinstance(given, list) and len(given) == 4 and all(type(e) in (int, float) and e > 0 for e in given[2:]):
            row.leave_out("expected no box with an area beside a mask without a set pixel", given, str(name))
        return None
    if name is not None:
        return row.box(name)
    return None if shape.mask is None else box_of(shape.mask)


def _report_what_is_nowhere(row: Fields, visible: _Shape, amodal: _Shape, amodal_boxes: Sequence[str]) -> None:
    """Report an instance without any shape, and a hidden instance without an amodal shape."""
    fields = (*VISIBLE_MASKS, *AMODAL_MASKS, "segmentation", *VISIBLE_BOXES, *AMODAL_BOXES, "bbox")
    if all(row.value.get(name) in (None, []) for name in fields):
        row.report("expected a box or a mask", row.value)
    is_known_whole = amodal.name is not None or any(name in row for name in amodal_boxes)
    for shape in (amodal, *([] if is_known_whole else [visible])):
        if shape.is_empty and shape.name is not None:
            row.report("expected a mask with at least one set pixel", row.value[shape.name], shape.name)


def _report_repeated_ids(rows: Sequence[Fields]) -> None:
    seen: set[int] = set()
    for row in rows:
        identifier = row.value.get("id")
        if type(identifier) is int:
            if identifier in seen:
                row.report("expected an id of its own", identifier, "id")
            seen.add(identifier)


def _order(rows: Sequence[Fields], instances: Sequence[RecordInstance]) -> Matrix | None:
    if any("occludes" in row for row in rows):
        return _declared_order(rows)
    visible = [instance.visible_mask for instance in instances if instance.visible_mask is not None]
    amodal = [instance.amodal_mask for instance in instances if instance.amodal_mask is not None]
    if len(visible) < len(instances) or len(amodal) < len(instances):
        return None
    return order_of_masks(visible, amodal)


def _declared_order(rows: Sequence[Fields]) -> Matrix | None:
    places = {row.value["id"]: place for place, row in enumerate(rows)}
    order = [[APART] * len(rows) for _ in rows]
    for front, row in enumerate(rows):
        hidden = row.value.get("occludes", [])
        if not isinstance(hidden, list):
            row.leave_out("expected a list of ids", hidden, "occludes")
            continue
        for position, identifier in enumerate(hidden):
            if type(identifier) is not int or places.get(identifier, front) == front:
                row.leave_out("expected the id of another annotation of this image", identifier, "occludes", position)
            else:
                order[front][places[identifier]] = OCCLUDES
    return tuple(map(tuple, order))
