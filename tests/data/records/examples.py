"""Small records that are right, and data sets of them."""

from __future__ import annotations

import functools
import io
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from occlusionformer.data.records import (
    Mask,
    Record,
    RecordInstance,
    RecordOrigin,
    Step,
    box_of,
    encode_mask,
    shard_path,
    write_descriptions,
    write_shard,
)

WIDTH, HEIGHT = 24, 16


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask_HW = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask_HW[top:bottom, left:right] = True
    return mask_HW


def instance(identifier: str, amodal_HW: np.ndarray, front_HW: np.ndarray | None = None) -> RecordInstance:
    visible: Mask = encode_mask(amodal_HW if front_HW is None else amodal_HW & ~front_HW)
    amodal: Mask = encode_mask(amodal_HW)
    return RecordInstance(
        id=identifier,
        caption=f"thing {identifier}",
        category="thing",
        visible_box=box_of(visible),
        amodal_box=box_of(amodal),
        visible_mask=visible,
        amodal_mask=amodal,
        extra='{"area":3}',
    )


def record(image_id: str = "one") -> Record:
    """Instance 0 in front of 1; 2 beside them."""
    front, back, beside = rectangle(2, 2, 10, 10), rectangle(6, 4, 16, 14), rectangle(18, 1, 23, 5)
    return Record(
        image_id=image_id,
        width=WIDTH,
        height=HEIGHT,
        prompt="a table",
        instances=(instance("7", front), instance("8", back, front), instance("9", beside)),
        order=((0, 1, 0), (0, 0, 0), (0, -1, 0)),
        order_confidence=((1.0, 0.9, 0.7), (0.9, 1.0, 1.0), (0.7, 0.0, 1.0)),
        depth=((-1, 1, 2), (0, -1, -1), (2, -1, -1)),
        depth_confidence=((0.0, 0.5, 1.0), (0.5, 0.0, 0.0), (1.0, 0.0, 0.0)),
        image_path=f"images/{image_id}.png",
        provenance=RecordOrigin(dataset="examples", source="here", steps=(Step(stage="order", model="a hand"),)),
        extra='{"note":"none"}',
    )


def picture(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def data_set(folder: Path, records: list[Record] | None = None, *, pictures: bool = True) -> Path:
    """Two shards of two records."""
    if records is None:
        return shutil.copytree(_usual(pictures).name, folder, dirs_exist_ok=True)
    return _written(folder, records, pictures)


@functools.cache
def _usual(pictures: bool) -> tempfile.TemporaryDirectory[str]:
    """The data set of four records that most tests take, written once."""
    made = tempfile.TemporaryDirectory()
    _written(Path(made.name), [record(name) for name in ("one", "two", "three", "four")], pictures)
    return made


def _written(folder: Path, records: list[Record], pictures: bool) -> Path:
    (folder / "data").mkdir(parents=True)
    for number in range(2):
        items = [(each, picture(number) if pictures else None) for each in records[2 * number : 2 * number + 2]]
        write_shard(shard_path(folder, "train", number), items)
    write_descriptions(folder)
    return folder


def with_instance(of: Record, place: int, changed: RecordInstance) -> Record:
    instances = list(of.instances)
    instances[place] = changed
    return replace(of, instances=tuple(instances))
