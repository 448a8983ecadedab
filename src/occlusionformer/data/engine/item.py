"""An item of a build: a picture, its record so far, and the failure if it was given up.

Arrays: H rows, W columns, C channels, N instances.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from occlusionformer.data.records.masks import decode_masks
from occlusionformer.data.records.record import OCCLUDES, Record, Step, from_plain, to_plain
from occlusionformer.pictures import file_bytes, read_picture

CONFIDENCE_DIGITS = 4
"""Decimals of a confidence that are kept: sums on other processors differ in later ones."""

_LENGTHS = struct.Struct("<QQ")


class BadItemError(ValueError):
    """A picture or masks that no stage can use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a picture was left out of the data set: stage and reason."""

    stage: str
    reason: str
    kind: str = "broken"
    """`broken` where something is wrong with it, `filtered` where it is merely not wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """An instance that was removed, with stage and reason."""

    instance: str
    stage: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One picture of a build."""

    key: str
    content: bytes | None = None
    """The picture file; None where `path` says where it lies."""
    path: str | None = None
    record: Record | None = None
    """None until the picture and its masks are loaded."""
    failure: Failure | None = None
    removals: tuple[Removal, ...] = ()

    def failed(self, stage: str, reason: str, *, kind: str = "broken") -> Item:
        """The item marked as failed."""
        return replace(self, failure=Failure(stage=stage, reason=reason, kind=kind))

    def known(self) -> Record:
        """The record; the item must have been loaded."""
        assert self.record is not None, f"{self.key}: a stage was run before the item was loaded"
        return self.record

    def file(self) -> bytes:
        """The picture as an encoded file."""
        if self.content is not None:
            return self.content
        assert self.path is not None, f"{self.key}: neither content nor path"
        return file_bytes(self.path)

    def image(self) -> np.ndarray:
        """The picture (H, W, 3) uint8, upright. Raises PictureError if it is unreadable or of another size."""
        picture = read_picture(self.file(), name=self.key if self.path is None else Path(self.path).name)
        if self.record is not None:
            picture.check_size(self.record.width, self.record.height)
        return picture.pixels()

    def visible(self) -> np.ndarray:
        """Visible masks (N, H, W) bool."""
        record = self.known()
        masks = [instance.visible_mask for instance in record.instances if instance.visible_mask is not None]
        assert len(masks) == len(record.instances), f"{self.key}: an instance without a visible mask"
        return decode_masks(masks) if masks else np.zeros((0, record.height, record.width), dtype=bool)

    def amodal(self) -> np.ndarray | None:
        """Amodal masks (N, H, W) bool; None if some instance has none."""
        record = self.known()
        masks = [instance.amodal_mask for instance in record.instances if instance.amodal_mask is not None]
        return decode_masks(masks) if masks and len(masks) == len(record.instances) else None

    def in_front(self) -> np.ndarray:
        """The order (N, N) bool: row in front of column."""
        record = self.known()
        count = len(record.instances)
        order = np.array(record.order or np.zeros((count, count)), dtype=np.int8)
        is_front: np.ndarray = order.reshape(count, count) == OCCLUDES
        return is_front

    def with_step(self, record: Record, step: Step) -> Item:
        """The item with a stage's new record and the provenance entry of the stage."""
        provenance = replace(record.provenance, steps=(*record.provenance.steps, step))
        return replace(self, record=replace(record, provenance=provenance))


def pack(items: Sequence[Item]) -> bytes:
    """Serialise items to send them between processes; without pickle."""
    parts: list[bytes] = []
    for item in items:
        text = json.dumps(_plain(item), ensure_ascii=False, separators=(",", ":")).encode()
        content = item.content or b""
        parts += [_LENGTHS.pack(len(text), len(content)), text, content]
    return b"".join(parts)


def unpack(data: bytes) -> list[Item]:
    """Deserialise the items of `pack`."""
    items, position = [], 0
    while position < len(data):
        text_length, content_length = _LENGTHS.unpack_from(data, position)
        position += _LENGTHS.size
        value = json.loads(data[position : position + text_length])
        position += text_length
        items.append(_item(value, data[position : position + content_length]))
        position += content_length
    return items


def _plain(item: Item) -> dict[str, Any]:
    return {
        "key": item.key,
        "has_content": item.content is not None,
        "path": item.path,
        "record": None if item.record is None else to_plain(item.record),
        "failure": None if item.failure is None else [item.failure.stage, item.failure.reason, item.failure.kind],
        "removals": [[removal.instance, removal.stage, removal.reason] for removal in item.removals],
    }


def _item(value: dict[str, Any], content: bytes) -> Item:
    failure = value["failure"]
    return Item(
        key=value["key"],
        content=content if value["has_content"] else None,
        path=value["path"],
        record=None if value["record"] is None else from_plain(value["record"]),
        failure=None if failure is None else Failure(stage=failure[0], reason=failure[1], kind=failure[2]),
        removals=tuple(Removal(instance=name, stage=stage, reason=reason) for name, stage, reason in value["removals"]),
    )


def digest(content: bytes | str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
