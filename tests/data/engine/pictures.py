"""Small pictures with masks for the tests of the data engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from occlusionformer.data.engine.item import Item
from occlusionformer.data.engine.models.protocol import MaskedPicture
from occlusionformer.data.records import Record, RecordInstance, RecordOrigin, box_of, encode_mask, png
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scene import Scene
from occlusionformer.data.world.scenes import WorldSpec, make_scene


def rectangle(x1: int, y1: int, x2: int, y2: int, *, size: int = 32) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


def item_of(*masks: np.ndarray, key: str = "picture") -> Item:
    """A grey picture with these visible masks, called a, b, c ..."""
    height, width = masks[0].shape
    instances = tuple(
        RecordInstance(id="abcdefgh"[place], caption="", visible_mask=encode_mask(mask), visible_box=_box(mask))
        for place, mask in enumerate(masks)
    )
    record = Record(
        image_id=key,
        width=width,
        height=height,
        prompt="",
        instances=instances,
        provenance=RecordOrigin(dataset="test"),
    )
    return Item(key=key, content=png(np.full((height, width, 3), 128, dtype=np.uint8)), record=record)


def _box(mask: np.ndarray) -> tuple[float, float, float, float] | None:
    return box_of(encode_mask(mask)) if mask.any() else None


def scene(index: int, **settings: float) -> Scene:
    spec = replace(WorldSpec(width=96, height=96, min_instances=2, max_instances=12), **settings)
    return make_scene(index, seed=4, spec=spec, art=world_art())


def view_of_scene(drawn: Scene, *, in_front: np.ndarray | None = None) -> MaskedPicture:
    return MaskedPicture(
        key="scene",
        ids=tuple(str(place) for place in range(len(drawn.instances))),
        image=drawn.image,
        masks=np.stack([instance.visible for instance in drawn.instances]),
        in_front=in_front,
    )


def true_order(drawn: Scene) -> np.ndarray:
    """(N, N): row in front of column, where their whole masks overlap."""
    depth = np.argsort(drawn.back_to_front)
    masks = np.stack([instance.amodal for instance in drawn.instances]).reshape(len(depth), -1).astype(np.float32)
    return (depth[:, None] > depth[None]) & (masks @ masks.T > 0)


def write_picture(folder: Path, name: str, masks: list[np.ndarray]) -> None:
    """A picture and its masks as SA-1B writes them."""
    height, width = masks[0].shape
    (folder / f"{name}.png").write_bytes(png(np.full((height, width, 3), 90, dtype=np.uint8)))
    annotations = [
        {
            "id": place,
            "bbox": [0, 0, 1, 1],
            "segmentation": {"size": [height, width], "counts": encode_mask(mask).counts},
        }
        for place, mask in enumerate(masks)
    ]
    (folder / f"{name}.json").write_text(json.dumps({"annotations": annotations}))
