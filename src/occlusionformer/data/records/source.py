"""Converts records to training samples and to layouts.

Arrays: H rows, W columns, C colour channels, N instances.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from occlusionformer.data.held_out import SA_Z, is_held_out_image
from occlusionformer.data.records.columns import hidden_instances
from occlusionformer.data.records.folder import RecordFolder
from occlusionformer.data.records.masks import box_of, decode_masks, encode_mask, is_empty, is_hidden
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import (
    OCCLUDES,
    Mask,
    Record,
    RecordInstance,
    RecordOrigin,
    as_fractions,
    record_of_part,
)
from occlusionformer.data.records.record import Box as PixelBox
from occlusionformer.data.samples import NOT_DESCRIBED, Sample, SampleShape
from occlusionformer.layout import Box, Instance, Layout, Pair, Pairs, RunLength
from occlusionformer.layout.problems import shown
from occlusionformer.pictures import file_bytes, find_picture, read_picture

MaskKind = Literal["amodal", "visible"]


@dataclass(frozen=True)
class RecordSource:
    """A split of a data set of records as samples to train on; may be sent to worker processes.

    With `masks="visible"` hidden parts are left out of masks and boxes alike, as for data sets that do not know
    them; with "amodal" records that do not know them are refused. Pictures are looked for in the tars, and for
    records without one under `image_root` by their `image_path`.
    """

    folder: Path
    split: str | None = "train"
    masks: MaskKind = "amodal"
    image_root: Path | None = None

    def __post_init__(self) -> None:
        if self.masks not in ("amodal", "visible"):
            raise ValueError(f"masks: expected amodal or visible, got {self.masks!r}")

    def __reduce__(self) -> tuple[type[RecordSource], tuple[Path, str | None, MaskKind, Path | None]]:
        return RecordSource, (self.folder, self.split, self.masks, self.image_root)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        record, image = self.records.item(index)
        if image is None:
            image = self._image_outside(record)
        return sample_of_record(record, decode_image(record, image), masks=self.masks)

    def shape_of(self, index: int) -> SampleShape:
        """Canvas and number of instances of a sample, without reading masks or pictures."""
        width, height, instances = self._shapes[index]
        return SampleShape(width=int(width), height=int(height), instances=int(instances))

    def is_for_evaluation(self, index: int) -> bool:
        """Whether the picture is of the part of SA-Z that nothing is trained on."""
        return bool(self._for_evaluation[index])

    @cached_property
    def records(self) -> RecordFolder:
        return RecordFolder(self.folder, self.split)

    @cached_property
    def _shapes(self) -> np.ndarray:
        """(records, 3): width, height, number of instances."""
        compute = from_extra("pyarrow.compute")
        pieces = []
        for shard in self.records.shards:
            table = shard.columns(["width", "height", "instances.visible_box", "instances.visible_mask.size"])
            counts = compute.list_value_length(table["instances"]).to_numpy()
            if self.masks == "visible":
                hidden = hidden_instances(compute.list_flatten(table["instances"]).combine_chunks())
                of_record = np.repeat(np.arange(len(counts)), counts)
                counts = counts - np.bincount(of_record[hidden], minlength=len(counts))
            pieces.append(np.stack([table["width"].to_numpy(), table["height"].to_numpy(), counts], axis=1))
        return np.concatenate(pieces)

    @cached_property
    def _for_evaluation(self) -> np.ndarray:
        """(records,): whether each is kept for evaluation."""
        known = []
        for shard in self.records.shards:
            table = shard.columns(["image_id", "provenance.dataset"])
            rows = zip(table["image_id"].to_pylist(), table["provenance"].to_pylist(), strict=True)
            known += [of["dataset"] == SA_Z and is_held_out_image(image_id) for image_id, of in rows]
        return np.array(known, dtype=bool)

    def _image_outside(self, record: Record) -> bytes:
        if self.image_root is None:
            raise ValueError(
                f"{self.folder}: {record.image_id}: image_file: expected a picture in the tar, got null; "
                "image_root names the folder of pictures that are kept elsewhere"
            )
        return file_bytes(picture_path(record, self.image_root))


def picture_path(record: Record, root: Path) -> Path:
    """The picture of a record in a folder, whatever the case of its ending.

    Raises ValueError when it is not there, and for paths that lead out.
    """
    path = PurePosixPath(record.image_path or "/")
    found = None if path.is_absolute() or ".." in path.parts else find_picture(root, path)
    if found is None:
        raise ValueError(f"{record.image_id}: image_path: expected a file in {root}, got {shown(record.image_path)}")
    return found


def decode_image(record: Record, image: bytes) -> np.ndarray:
    """(H, W, C) uint8, upright. Raises PictureError for a picture that cannot be read or has not the record's size."""
    picture = read_picture(image, name=f"{record.image_id}: image")
    picture.check_size(record.width, record.height)
    return picture.pixels()


def sample_of_record(record: Record, image_HWC: np.ndarray, *, masks: MaskKind = "amodal") -> Sample:
    """A record as a training sample; entries of the order that nobody judged count as no relation.

    A hidden instance has its amodal box and an empty visible mask; with `masks="visible"` it is left out.
    """
    if masks == "visible":
        seen = [place for place, instance in enumerate(record.instances) if not is_hidden(instance)]
        record = record_of_part(record, seen)
    in_front = None if record.order is None else np.array(record.order, dtype=np.int8).reshape(_square(record))
    boxes = [_box(record, place, masks) for place in range(len(record.instances))]
    return Sample(
        image=image_HWC,
        prompt=record.prompt,
        captions=tuple(instance.caption for instance in record.instances),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        amodal=_stacked(record, "amodal", is_needed=True) if masks == "amodal" else None,
        visible=_stacked(record, "visible", is_needed=masks == "visible"),
        in_front=None if in_front is None else in_front == OCCLUDES,
        key=record.image_id,
    )


def record_of_sample(sample: Sample, provenance: RecordOrigin) -> Record:
    """A sample as a record, boxes in pixels; a sample's boxes are amodal."""
    height, width = sample.image.shape[:2]
    masks = [None] * len(sample.captions) if sample.visible is None else [*map(encode_mask, sample.visible)]
    instances = tuple(
        RecordInstance(
            id=str(place),
            caption=caption,
            visible_box=_box_of(masks[place]),
            amodal_box=_pixels(sample.boxes[place], width, height),
            visible_mask=masks[place],
            amodal_mask=None if sample.amodal is None else encode_mask(sample.amodal[place]),
        )
        for place, caption in enumerate(sample.captions)
    )
    order = None if sample.in_front is None else tuple(map(tuple, sample.in_front.astype(int).tolist()))
    return Record(
        image_id=sample.key,
        width=width,
        height=height,
        prompt=sample.prompt,
        instances=instances,
        order=order,
        provenance=provenance,
    )


def layout_of_record(record: Record) -> Layout:
    """The layout a user would have drawn to ask for this picture; visible masks become the regions.

    An instance that is hidden has no region: what is in front of it hides it.
    """
    ids = [instance.id for instance in record.instances]
    pairs = tuple(Pair(front=ids[front], behind=ids[behind]) for front, behind in record.edges)
    return Layout(
        prompt=record.prompt or NOT_DESCRIBED,
        width=record.width,
        height=record.height,
        instances=tuple(
            Instance(
                id=instance.id,
                caption=instance.caption or NOT_DESCRIBED,
                category=instance.category,
                box=Box(*as_fractions(_known_box(record, place, "amodal"), record.width, record.height)),
                region=_region(instance.visible_mask),
            )
            for place, instance in enumerate(record.instances)
        ),
        order=None if record.order is None else Pairs(pairs=pairs),
        cycles="allow",
    )


def _box_of(mask: Mask | None) -> PixelBox | None:
    return None if mask is None or is_empty(mask) else box_of(mask)


def _square(record: Record) -> tuple[int, int]:
    return len(record.instances), len(record.instances)


def _region(mask: Mask | None) -> RunLength | None:
    return None if mask is None or is_empty(mask) else RunLength(size=(mask.height, mask.width), counts=mask.counts)


def _known_box(record: Record, place: int, kind: MaskKind) -> PixelBox:
    """The box of the kind asked for, or the other if only that is known."""
    instance = record.instances[place]
    amodal_first = (instance.amodal_box, instance.visible_box)
    first, second = amodal_first if kind == "amodal" else amodal_first[::-1]
    box = first if first is not None else second
    if box is None:
        raise ValueError(f"{record.image_id}: instances[{place}]: expected a visible_box or an amodal_box, got neither")
    return box


def _box(record: Record, place: int, kind: MaskKind) -> PixelBox:
    return as_fractions(_known_box(record, place, kind), record.width, record.height)


def masks_of(record: Record, kind: MaskKind) -> list[Mask | None]:
    """The masks of all instances. Raises ValueError for one of another size than the picture: it may be of any size."""
    masks = [instance.amodal_mask if kind == "amodal" else instance.visible_mask for instance in record.instances]
    for place, mask in enumerate(masks):
        if mask is not None and (mask.height, mask.width) != (record.height, record.width):
            got = [mask.height, mask.width]
            text = f"expected the size of the picture, {[record.height, record.width]}, got {got}"
            raise ValueError(f"{record.image_id}: instances[{place}].{kind}_mask.size: {text}")
    return masks


def _stacked(record: Record, kind: MaskKind, *, is_needed: bool) -> np.ndarray | None:
    """The masks of all instances; None when some have none and they are not needed."""
    masks = masks_of(record, kind)
    known = [mask for mask in masks if mask is not None]
    if len(known) == len(masks):
        return decode_masks(known) if known else np.zeros((0, record.height, record.width), dtype=bool)
    if is_needed:
        raise ValueError(f"{record.image_id}: instances[{masks.index(None)}].{kind}_mask: expected a mask, got null")
    return None


def _pixels(box: np.ndarray, width: int, height: int) -> PixelBox:
    x1, y1, x2, y2 = (float(edge) * side for edge, side in zip(box, (width, height, width, height), strict=True))
    return x1, y1, x2, y2
