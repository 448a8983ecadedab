"""InstaOrder: who hides whom and who is closer, by crowd workers, over the annotations of COCO.

`occlusion` has rows {order: "i<j", count}, i hides part of j, or "i<j & j<i", both; `depth` has rows {order: "i<j",
overlap, count}, i is closer than j, or "i=j". i and j are places in `instance_ids`. `count` workers were needed to
agree; the confidence is 2 / count, the weight InstaOrder's own metric gives. A pair that `occlusion` does not list
does not occlude, with confidence 1; one that `depth` does not list is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from occlusionformer.data.converters.coco import (
    CocoImage,
    annotations_by,
    caption_of,
    captions_by_image,
    read_categories,
    read_images,
)
from occlusionformer.data.converters.fields import ABSENT, LARGEST_NUMBER, Fields
from occlusionformer.data.converters.grouping import Grouped
from occlusionformer.data.converters.json_stream import JsonStream
from occlusionformer.data.converters.refusal import BadRecordError, kept_rows
from occlusionformer.data.records.masks import box_of, is_empty
from occlusionformer.data.records.record import (
    APART,
    CLOSER,
    FARTHER,
    LEVEL,
    OCCLUDES,
    UNKNOWN,
    Confidences,
    Matrix,
    Record,
    RecordInstance,
    RecordOrigin,
    record_of_part,
)
from occlusionformer.data.records.repairs import Repairs
from occlusionformer.layout.problems import Problem

PAIR = re.compile(r"\s*([0-9]{1,9})\s*([<=])\s*([0-9]{1,9})\s*")
HELD = frozenset({"id", "image_id", "category_id", "caption", "bbox", "segmentation"})


@dataclass
class _Judgements:
    """A matrix of relations as it is filled, with the confidence of each entry."""

    entries: list[list[int]]
    confidences: list[list[float]]

    @classmethod
    def empty(cls, count: int, entry: int, confidence: float) -> _Judgements:
        return cls([[entry] * count for _ in range(count)], [[confidence] * count for _ in range(count)])

    def put(self, first: int, second: int, entry: int, confidence: float) -> None:
        self.entries[first][second] = entry
        self.confidences[first][second] = confidence

    def matrices(self) -> tuple[Matrix, Confidences]:
        return tuple(map(tuple, self.entries)), tuple(map(tuple, self.confidences))


@dataclass(frozen=True)
class _Coco:
    """The COCO annotations that the orders refer to."""

    images: dict[int, CocoImage]
    categories: dict[int, str]
    annotations: Grouped = field(repr=False)
    captions: dict[int, str] = field(repr=False)


def read_instaorder(
    path: str | Path,
    *,
    instances: str | Path,
    captions: str | Path | None = None,
    repairs: Repairs | None = None,
) -> Iterator[Record | BadRecordError]:
    """`instances` is the COCO file of the same split; `captions` the one with captions, for the prompts.

    With `repairs`, what leaving out an instance, a polygon, a judgement or orders of no image puts right is put right
    and told there.
    """
    source, coco = Path(path), Path(instances)
    provenance = RecordOrigin(dataset="InstaOrder", source=source.name, license="CC BY 4.0 (COCO annotations)")
    prompts = {} if captions is None else captions_by_image(Path(captions))
    with annotations_by(coco, "id") as annotations, JsonStream(source) as stream:
        known = _Coco(read_images(coco), read_categories(coco), annotations, prompts)
        for place, value in enumerate(stream.elements("annotations")):
            row = Fields(value, repairs=None if repairs is None else [])
            number = row.number("image_id")
            image = known.images.get(number)
            if image is not None:
                yield _record(row, image, known, provenance, repairs)
                continue
            if not row.problems:
                row.report("expected the id of an image in the COCO file", number, "image_id")
            name = row.value.get("image_id", place)
            if repairs is None:
                yield BadRecordError(source.name, name, row.problems)
            else:
                repairs.note(source.name, name, (Problem(p.path, f"orders left out: {p.text}") for p in row.problems))
                repairs.keep()


def _record(
    row: Fields, image: CocoImage, coco: _Coco, provenance: RecordOrigin, repairs: Repairs | None
) -> Record | BadRecordError:
    ids = row.value.get("instance_ids")
    if not isinstance(ids, list) or any(type(identifier) is not int for identifier in ids):
        row.report("expected a list of annotation ids", ids, "instance_ids")
        ids = []
    found = tuple(_instance(row, place, ids, image, coco) for place in range(len(ids)))
    kept = kept_rows(row, ("instance_ids",), range(len(ids)))
    order, order_confidence = _occlusions(row, len(ids)).matrices()
    depth, depth_confidence = _depths(row, len(ids)).matrices()
    record = Record(
        image_id=str(image.id),
        width=image.width,
        height=image.height,
        prompt=coco.captions.get(image.id, image.prompt),
        instances=found,
        order=order,
        order_confidence=order_confidence,
        depth=depth,
        depth_confidence=depth_confidence,
        image_path=image.path,
        provenance=provenance,
        extra=row.json({name: row.value[name] for name in ("occlusion", "depth") if name in row}),
    )
    if row.problems:
        return BadRecordError(provenance.source, image.id, row.problems)
    if repairs is not None:
        repairs.note(provenance.source, image.id, row.repairs or ())
    return record_of_part(record, kept)


def _instance(row: Fields, place: int, ids: list[int], image: CocoImage, coco: _Coco) -> RecordInstance:
    identifier = ids[place]
    values = coco.annotations.of(identifier) if abs(identifier) <= LARGEST_NUMBER else []
    if len(values) != 1:
        what = "the id of one annotation" if values else "the id of an annotation"
        row.report(f"expected {what} in the COCO file", identifier, "instance_ids", place)
        return RecordInstance(id=str(identifier), caption="")
    annotation = row.at("instance_ids", place, value=values[0])
    if annotation.value.get("image_id", image.id) != image.id:
        annotation.report(f"expected an annotation of image {image.id}", annotation.value["image_id"], "image_id")
    if identifier in ids[:place]:
        row.report("expected every annotation once", identifier, "instance_ids", place)
    caption, category = caption_of(annotation, coco.categories)
    box = annotation.box("bbox")
    mask = annotation.mask("segmentation", image.height, image.width) if annotation.value.get("segmentation") else None
    if mask is not None and is_empty(mask):
        text = "expected a mask with at least one set pixel"
        annotation.report(text, annotation.value["segmentation"], "segmentation")
    elif box is None and annotation.value.get("bbox") is None:
        if mask is None and not annotation.value.get("segmentation"):
            annotation.report("expected a box or a mask", annotation.value)
        box = None if mask is None else box_of(mask)
    return RecordInstance(
        id=str(identifier),
        caption=caption,
        category=category,
        visible_box=box,
        visible_mask=mask,
        extra=annotation.kept(HELD),
    )


def _occlusions(row: Fields, count: int) -> _Judgements:
    judged = _Judgements.empty(count, APART, 1.0)
    for entry in row.rows("occlusion") if "occlusion" in row else []:
        pairs = [_pair(entry, text, count, "<") for text in _order_text(entry).split("&")]
        confidence = _confidence(entry)
        if confidence is None:
            continue
        for front, behind, _ in filter(None, pairs):
            judged.put(front, behind, OCCLUDES, confidence)
            if len(pairs) == 1:
                judged.confidences[behind][front] = confidence
    return judged


def _depths(row: Fields, count: int) -> _Judgements:
    judged = _Judgements.empty(count, UNKNOWN, 0.0)
    for entry in row.rows("depth") if "depth" in row else []:
        pair, confidence = _pair(entry, _order_text(entry), count, "<="), _confidence(entry)
        if pair is not None and confidence is not None:
            first, second, sign = pair
            judged.put(first, second, CLOSER if sign == "<" else LEVEL, confidence)
            judged.put(second, first, FARTHER if sign == "<" else LEVEL, confidence)
    return judged


def _order_text(entry: Fields) -> str:
    text = entry.value.get("order", ABSENT)
    return text if isinstance(text, str) else ""


def _confidence(entry: Fields) -> float | None:
    count = entry.value.get("count", ABSENT)
    if type(count) is not int or count < 1:
        rule = "expected at least 1" if type(count) is int else "expected a whole number"
        entry.leave_out(rule, count, "count")
        return None
    return min(1.0, 2 / count)


def _pair(entry: Fields, text: str, count: int, signs: str) -> tuple[int, int, str] | None:
    found = PAIR.fullmatch(text)
    first, second = (int(found[1]), int(found[3])) if found else (-1, -1)
    if found is None or found[2] not in signs or first == second or not (0 <= first < count and 0 <= second < count):
        wanted = " or ".join(f"i{sign}j" for sign in signs)
        entry.leave_out(
            f"expected two different places {wanted} below {count}", entry.value.get("order", ABSENT), "order"
        )
        return None
    return first, second, found[2]
