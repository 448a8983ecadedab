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
from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.grouping import Grouped
from occlusionformer.data.converters.json_stream import JsonStream
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import (
    APART,
    CLOSER,
    FARTHER,
    LEVEL,
    OCCLUDES,
    UNKNOWN,
    Confidences,
    Matrix,
    Provenance,
    Record,
    RecordInstance,
)

PAIR = re.compile(r"\s*(\d+)\s*([<=])\s*(\d+)\s*")
HELD = frozenset({"id", "image_id", "category_id", "caption", "bbox", "segmentation"})


@dataclass
class _Judgements:
    """A matrix being filled, with what is sure of it."""

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
    """The annotations that the orders are about."""

    images: dict[int, CocoImage]
    categories: dict[int, str]
    annotations: Grouped = field(repr=False)
    captions: dict[int, str] = field(repr=False)


def read_instaorder(
    path: str | Path, *, instances: str | Path, captions: str | Path | None = None
) -> Iterator[Record | BadRecordError]:
    """`instances` is the COCO file of the same split; `captions` the one with captions, for the prompts."""
    source, coco = Path(path), Path(instances)
    provenance = Provenance(dataset="InstaOrder", source=source.name, license="CC BY 4.0 (COCO annotations)")
    prompts = {} if captions is None else captions_by_image(Path(captions))
    with annotations_by(coco, "id") as annotations, JsonStream(source) as stream:
        known = _Coco(read_images(coco), read_categories(coco), annotations, prompts)
        for value in stream.elements("annotations"):
            row = Fields(value)
            record = _record(row, known, provenance)
            yield BadRecordError(source.name, row.value.get("image_id", "?"), row.problems) if row.problems else record


def _record(row: Fields, coco: _Coco, provenance: Provenance) -> Record:
    number = row.number("image_id")
    image = coco.images.get(number) or CocoImage(number, 1, 1, None, "")
    if number not in coco.images:
        row.report("expected the id of an image in the COCO file", number, "image_id")
    ids = row.value.get("instance_ids")
    if not isinstance(ids, list) or any(type(identifier) is not int for identifier in ids):
        row.report("expected a list of annotation ids", ids, "instance_ids")
        ids = []
    found = tuple(_instance(row, place, identifier, image, coco) for place, identifier in enumerate(ids))
    order, order_confidence = _occlusions(row, len(ids)).matrices()
    depth, depth_confidence = _depths(row, len(ids)).matrices()
    kept = {name: row.value[name] for name in ("occlusion", "depth") if name in row}
    return Record(
        image_id=str(number),
        width=image.width,
        height=image.height,
        prompt=coco.captions.get(number, image.prompt),
        instances=found,
        order=order,
        order_confidence=order_confidence,
        depth=depth,
        depth_confidence=depth_confidence,
        image_path=image.path,
        provenance=provenance,
        extra=from_extra("orjson").dumps(kept).decode(),
    )


def _instance(row: Fields, place: int, identifier: int, image: CocoImage, coco: _Coco) -> RecordInstance:
    values = coco.annotations.of(identifier)
    if not values:
        row.report("expected the id of an annotation in the COCO file", identifier, "instance_ids", place)
        return RecordInstance(id=str(identifier), caption="")
    annotation = row.at("instance_ids", place, value=values[0])
    caption, category = caption_of(annotation, coco.categories)
    kept = {name: value for name, value in values[0].items() if name not in HELD}
    return RecordInstance(
        id=str(identifier),
        caption=caption,
        category=category,
        visible_box=annotation.box("bbox"),
        visible_mask=annotation.mask("segmentation", image.height, image.width),
        extra=from_extra("orjson").dumps(kept).decode(),
    )


def _occlusions(row: Fields, count: int) -> _Judgements:
    judged = _Judgements.empty(count, APART, 1.0)
    for entry in row.rows("occlusion") if "occlusion" in row else []:
        confidence = _confidence(entry)
        pairs = [_pair(entry, text, count, "<") for text in entry.text("order").split("&")]
        for front, behind, _ in filter(None, pairs):
            judged.put(front, behind, OCCLUDES, confidence)
            if len(pairs) == 1:
                judged.confidences[behind][front] = confidence
    return judged


def _depths(row: Fields, count: int) -> _Judgements:
    judged = _Judgements.empty(count, UNKNOWN, 0.0)
    for entry in row.rows("depth") if "depth" in row else []:
        confidence = _confidence(entry)
        pair = _pair(entry, entry.text("order"), count, "<=")
        if pair is not None:
            first, second, sign = pair
            judged.put(first, second, CLOSER if sign == "<" else LEVEL, confidence)
            judged.put(second, first, FARTHER if sign == "<" else LEVEL, confidence)
    return judged


def _confidence(entry: Fields) -> float:
    count = entry.number("count")
    if count < 1:
        entry.report("expected at least 1", count, "count")
        return 0.0
    return min(1.0, 2 / count)


def _pair(entry: Fields, text: str, count: int, signs: str) -> tuple[int, int, str] | None:
    found = PAIR.fullmatch(text)
    first, second = (int(found[1]), int(found[3])) if found else (-1, -1)
    if found is None or found[2] not in signs or first == second or not (0 <= first < count and 0 <= second < count):
        entry.report(
            f"expected two different places {' or '.join(f'i{sign}j' for sign in signs)} below {count}", text, "order"
        )
        return None
    return first, second, found[2]
