"""COCO-style amodal data sets: every annotation has a visible and an amodal shape, under one of several names.

`segmentation` and `bbox` are amodal where the visible shape has a field of its own, and visible otherwise. Where an
annotation says which others it hides, by `occludes` with their ids, that is the order; where none does and all
have both masks, the order is read off the masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from occlusionformer.data.converters.coco import CocoImage, annotations_by, caption_of, read_categories, read_images
from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.occlusion import order_of_masks
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records.masks import box_of
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import APART, OCCLUDES, Box, Mask, Matrix, Provenance, Record, RecordInstance

VISIBLE_MASKS = ("visible_mask", "visible_segm", "inmodal_seg", "i_segm")
AMODAL_MASKS = ("amodal_mask", "amodal_segm", "a_segm")
VISIBLE_BOXES = ("visible_bbox", "inmodal_bbox", "i_bbox")
AMODAL_BOXES = ("amodal_bbox", "a_bbox")
HELD = {*VISIBLE_MASKS, *AMODAL_MASKS, *VISIBLE_BOXES, *AMODAL_BOXES}
HELD |= {"segmentation", "bbox", "id", "image_id", "category_id", "caption", "occludes"}


def read_coco_amodal(
    path: str | Path, *, dataset: str = "COCO-style amodal", license: str = ""
) -> Iterator[Record | BadRecordError]:
    """Pictures in the order of `images`; those without annotations are left out."""
    source = Path(path)
    images, categories = read_images(source), read_categories(source)
    provenance = Provenance(dataset=dataset, source=source.name, license=license)
    with annotations_by(source, "image_id") as annotations:
        for image in images.values():
            if rows := annotations.of(image.id):
                yield _record(image, rows, categories, provenance)


def _record(
    image: CocoImage, values: Sequence[object], categories: dict[int, str], provenance: Provenance
) -> Record | BadRecordError:
    whole = Fields({})
    rows = [whole.at("annotations", place, value=value) for place, value in enumerate(values)]
    instances = tuple(_instance(row, image, categories) for row in rows)
    order = None if whole.problems else _order(rows, instances)
    if whole.problems:
        return BadRecordError(provenance.source, image.id, whole.problems)
    return Record(
        image_id=str(image.id),
        width=image.width,
        height=image.height,
        prompt=image.prompt,
        instances=instances,
        order=order,
        image_path=image.path,
        provenance=provenance,
    )


def _instance(row: Fields, image: CocoImage, categories: dict[int, str]) -> RecordInstance:
    has_visible_field = any(name in row for name in (*VISIBLE_MASKS, *VISIBLE_BOXES))
    plain = "amodal" if has_visible_field else "visible"
    visible = _mask(row, VISIBLE_MASKS, plain == "visible", image)
    amodal = _mask(row, AMODAL_MASKS, plain == "amodal", image)
    caption, category = caption_of(row, categories)
    return RecordInstance(
        id=str(row.number("id")),
        caption=caption,
        category=category,
        visible_box=_box(row, VISIBLE_BOXES, plain == "visible", visible),
        amodal_box=_box(row, AMODAL_BOXES, plain == "amodal", amodal),
        visible_mask=visible,
        amodal_mask=amodal,
        extra=from_extra("orjson").dumps({name: row.value[name] for name in row.value if name not in HELD}).decode(),
    )


def _mask(row: Fields, names: Sequence[str], is_plain: bool, image: CocoImage) -> Mask | None:
    for name in (*names, *(["segmentation"] if is_plain else [])):
        if row.value.get(name):
            return row.mask(name, image.height, image.width)
    return None


def _box(row: Fields, names: Sequence[str], is_plain: bool, mask: Mask | None) -> Box | None:
    """The box given, or that of the mask."""
    for name in (*names, *(["bbox"] if is_plain else [])):
        if name in row:
            return row.box(name)
    if mask is None:
        return None
    try:
        return box_of(mask)
    except (ValueError, IndexError):
        row.report("expected a mask with at least one set pixel", mask.counts)
        return None


def _order(rows: Sequence[Fields], instances: Sequence[RecordInstance]) -> Matrix | None:
    if any("occludes" in row for row in rows):
        return _declared_order(rows)
    visible = [instance.visible_mask for instance in instances if instance.visible_mask is not None]
    amodal = [instance.amodal_mask for instance in instances if instance.amodal_mask is not None]
    if len(visible) < len(instances) or len(amodal) < len(instances):
        return None
    try:
        return order_of_masks(visible, amodal)
    except ValueError as error:
        rows[0].report(f"expected masks of one size: {error}", len(visible))
        return None


def _declared_order(rows: Sequence[Fields]) -> Matrix | None:
    places = {row.value["id"]: place for place, row in enumerate(rows)}
    order = [[APART] * len(rows) for _ in rows]
    for front, row in enumerate(rows):
        hidden = row.value.get("occludes", [])
        if not isinstance(hidden, list):
            row.report("expected a list of ids", hidden, "occludes")
            continue
        for position, identifier in enumerate(hidden):
            if not isinstance(identifier, int) or places.get(identifier, front) == front:
                row.report("expected the id of another annotation of this image", identifier, "occludes", position)
            else:
                order[front][places[identifier]] = OCCLUDES
    return tuple(map(tuple, order))
