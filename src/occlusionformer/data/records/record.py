"""One annotated picture as stored on disk: instances, boxes, masks, occlusion order and depth.

Boxes are pixels of the picture: x1, y1, x2, y2 from its top left corner, the far edges not included. Masks are COCO
run lengths of the picture's size. Matrices have a row and a column for every instance, in the order of `instances`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

UNKNOWN = -1
"""Matrix entry: not judged."""
OCCLUDES, APART = 1, 0
"""Entries of `order`: the row's instance hides part of the column's, or does not."""
CLOSER, FARTHER, LEVEL = 1, 0, 2
"""Entries of `depth`: the row's instance against the column's."""

DOCUMENTED = ConfigDict(use_attribute_docstrings=True)
"""The JSON Schema says what the docstrings say."""

Box = tuple[float, float, float, float]
Matrix = tuple[tuple[int, ...], ...]
Confidences = tuple[tuple[float, ...], ...]


@with_config(DOCUMENTED)
@dataclass(kw_only=True, slots=True)  # freezing makes it four times as slow, and SA-Z has six million
class Mask:
    """A COCO run-length mask: runs of unset and set pixels in turn, down the columns."""

    height: int
    width: int
    counts: str
    """The string COCO compresses the run lengths to."""

    def coco(self) -> CocoMask:
        """As `pycocotools.mask` takes it."""
        return {"size": [self.height, self.width], "counts": self.counts}


@with_config(DOCUMENTED)
class CocoMask(TypedDict):
    """A mask in COCO's own form."""

    size: list[int]
    """Height and width."""
    counts: str
    """The string COCO compresses the run lengths to."""


@with_config(DOCUMENTED)
@dataclass(kw_only=True, slots=True)  # freezing makes it four times as slow, and SA-Z has six million
class RecordInstance:
    """One instance of a picture. At least one of the two boxes is known."""

    id: str
    caption: str
    """Empty for an instance that has not been captioned."""
    category: str | None = None
    visible_box: Box | None = None
    """Around what is seen of it."""
    amodal_box: Box | None = None
    """Around all of it, hidden parts included; it may reach over the edge of the picture."""
    visible_mask: Mask | None = None
    amodal_mask: Mask | None = None
    """All of it that lies on the picture, seen or hidden."""
    extra: str = "{}"
    """JSON object of what its data set says beyond this."""


@with_config(DOCUMENTED)
@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Provenance of part of a record: which model made its order, which its captions."""

    stage: str
    model: str = ""
    revision: str = ""
    config: str = ""
    """Hash of the settings."""


@with_config(DOCUMENTED)
@dataclass(frozen=True, kw_only=True, slots=True)
class RecordOrigin:
    """Where a record comes from: data set, source, licence and processing steps."""

    dataset: str
    source: str = ""
    """File or series within the data set."""
    license: str = ""
    steps: tuple[Step, ...] = ()


@with_config(DOCUMENTED)
@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A picture and its annotations."""

    image_id: str
    """Unique in a data set; the same in every data set made of the same pictures."""
    width: int
    """Pixels."""
    height: int
    prompt: str
    """The whole picture in words; empty where nobody described it."""
    instances: tuple[RecordInstance, ...]
    order: Matrix | None = None
    """`order[i][j]` is 1 where i hides part of j, 0 where not, -1 unknown; both ways at once is possible."""
    order_confidence: Confidences | None = None
    """0 to 1 for every entry of `order`."""
    depth: Matrix | None = None
    """`depth[i][j]` is 1 where i is closer than j, 0 farther, 2 as close, -1 unknown and on the diagonal."""
    depth_confidence: Confidences | None = None
    """0 to 1 for every entry of `depth`."""
    image_path: str | None = None
    """The picture's path in the data set it comes from."""
    image_file: str | None = None
    """Its name in the tar beside the shard; given by whoever writes the shard."""
    image_sha256: str | None = None
    """Of the bytes in the tar, in hexadecimal."""
    provenance: RecordOrigin
    extra: str = "{}"
    """JSON object of what its data set says beyond this."""

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs (front, behind) of instance indices; empty if no order is known."""
        return tuple(
            (front, behind)
            for front, row in enumerate(self.order or ())
            for behind, value in enumerate(row)
            if value == OCCLUDES
        )


def record_of_part(record: Record, places: Sequence[int]) -> Record:
    """A record with the instances at `places` only, in that order, and the matching parts of its matrices."""
    if list(places) == list(range(len(record.instances))):
        return record
    matrices: dict[str, Any] = {
        name: tuple(tuple(matrix[row][column] for column in places) for row in places)
        for name in ("order", "order_confidence", "depth", "depth_confidence")
        if (matrix := getattr(record, name)) is not None
    }
    return replace(record, instances=tuple(record.instances[place] for place in places), **matrices)


def as_fractions(box: Box, width: int, height: int) -> Box:
    """A box in pixels as fractions of the picture's sides, clipped to the picture."""
    x1, y1, x2, y2 = (
        min(max(edge / side, 0.0), 1.0) for edge, side in zip(box, (width, height, width, height), strict=True)
    )
    return x1, y1, x2, y2


def to_plain(value: Any) -> Any:
    """A record or a part of it as dicts, lists, text and numbers; masks in COCO's form."""
    if isinstance(value, Mask):
        return value.coco()
    if isinstance(value, Record | RecordInstance | RecordOrigin | Step):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    return [to_plain(item) for item in value] if isinstance(value, tuple) else value


def from_plain(value: dict[str, Any]) -> Record:
    """The record of `to_plain`, or of a row of a shard. Nothing is checked: `check_record` does that."""
    parts = dict(value)
    provenance = dict(parts["provenance"])
    provenance["steps"] = tuple(Step(**step) for step in provenance["steps"])
    parts["provenance"] = RecordOrigin(**provenance)
    parts["instances"] = tuple(map(_instance, parts["instances"]))
    for name in ("order", "order_confidence", "depth", "depth_confidence"):
        if parts[name] is not None:
            parts[name] = tuple(map(tuple, parts[name]))
    return Record(**parts)


def _instance(value: dict[str, Any]) -> RecordInstance:
    parts = dict(value)
    kinds: tuple[Literal["visible", "amodal"], ...] = ("visible", "amodal")
    for kind in kinds:
        if (box := parts[f"{kind}_box"]) is not None:
            parts[f"{kind}_box"] = tuple(box)
        if (mask := parts[f"{kind}_mask"]) is not None:
            height, width = mask["size"]
            parts[f"{kind}_mask"] = Mask(height=height, width=width, counts=mask["counts"])
    return RecordInstance(**parts)
