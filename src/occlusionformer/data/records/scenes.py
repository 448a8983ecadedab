"""Converts layered scenes to records, and fully annotated records to scenes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
from PIL import Image

from occlusionformer import __version__
from occlusionformer.data.records.masks import box_of, decode_masks, encode_mask
from occlusionformer.data.records.record import (
    APART,
    CLOSER,
    FARTHER,
    OCCLUDES,
    UNKNOWN,
    Matrix,
    Record,
    RecordInstance,
    RecordOrigin,
    as_fractions,
)
from occlusionformer.data.records.shards import Item
from occlusionformer.data.world.artwork import ART_LICENSE
from occlusionformer.data.world.scene import Scene, SceneInstance
from occlusionformer.data.world.scenes import WorldDataset

ZLIB_LEVEL = 1
"""Scenes are small, and compressing them harder takes longer than drawing them."""


def scene_items(scenes: WorldDataset) -> Iterator[Item]:
    """Records of all scenes of a series, with their pictures as PNG, under the licence of their art."""
    spec = json.dumps(asdict(scenes.spec), sort_keys=True)
    provenance = RecordOrigin(
        dataset="layered scenes",
        source=f"occlusionformer {__version__}, seed {scenes.seed}, {spec}",
        license=ART_LICENSE,
    )
    for index in range(len(scenes)):
        scene = scenes[index]
        record = record_of_scene(scene, image_id=f"scene-{scenes.seed}-{index}", provenance=provenance)
        yield record, png(scene.image)


def record_of_scene(scene: Scene, *, image_id: str, provenance: RecordOrigin) -> Record:
    """Exact masks, boxes, order and depth. `order` relates what overlaps, `depth` everything."""
    height, width = scene.image.shape[:2]
    order, depth = _matrices(scene)
    return Record(
        image_id=image_id,
        width=width,
        height=height,
        prompt=scene.prompt,
        instances=tuple(_instance(item, str(place)) for place, item in enumerate(scene.instances)),
        order=order,
        depth=depth,
        provenance=provenance,
    )


def scene_of_record(record: Record, image_HWC: np.ndarray) -> Scene:
    """A record as a scene. Raises ValueError if it lacks masks, or a depth for some pair."""
    problems = [
        f"{record.image_id}: instances[{place}].{kind}: expected a mask, got null"
        for place, instance in enumerate(record.instances)
        for kind in ("visible_mask", "amodal_mask")
        if getattr(instance, kind) is None
    ]
    nearer = [[value == CLOSER for value in row] for row in record.depth or ()]
    count = len(record.instances)
    ranks = [sum(row) for row in nearer]
    if sorted(ranks) != list(range(count)):
        problems.append(f"{record.image_id}: depth: expected every two instances at different depths")
    if problems:
        raise ValueError("\n".join(problems))
    return Scene(
        image=image_HWC,
        prompt=record.prompt,
        instances=tuple(_scene_instance(instance, record) for instance in record.instances),
        back_to_front=tuple(int(place) for place in np.argsort(ranks)),
    )


def png(image_HWC: np.ndarray) -> bytes:
    """Pixels as PNG: equal pixels give equal bytes."""
    stream = io.BytesIO()
    Image.fromarray(image_HWC).save(stream, format="PNG", compress_level=ZLIB_LEVEL)
    return stream.getvalue()


def _instance(item: SceneInstance, identifier: str) -> RecordInstance:
    visible, amodal = encode_mask(item.visible), encode_mask(item.amodal)
    is_seen = bool(item.visible.any())
    return RecordInstance(
        id=identifier,
        caption=item.caption,
        category=item.name,
        visible_box=box_of(visible) if is_seen else None,
        amodal_box=box_of(amodal),
        visible_mask=visible,
        amodal_mask=amodal,
    )


def _matrices(scene: Scene) -> tuple[Matrix, Matrix]:
    count = len(scene.instances)
    rank_N = np.argsort(scene.back_to_front)
    nearer_NN = rank_N[:, None] > rank_N[None, :]
    flat_NP = np.stack([item.amodal for item in scene.instances]).reshape(count, -1).astype(np.float32)
    overlap_NN = flat_NP @ flat_NP.T > 0
    order_NN = np.where(nearer_NN & overlap_NN, OCCLUDES, APART)
    depth_NN = np.where(nearer_NN, CLOSER, FARTHER)
    np.fill_diagonal(depth_NN, UNKNOWN)
    return tuple(map(tuple, order_NN.tolist())), tuple(map(tuple, depth_NN.tolist()))


def _scene_instance(instance: RecordInstance, record: Record) -> SceneInstance:
    assert instance.visible_mask is not None
    assert instance.amodal_mask is not None
    visible_HW, amodal_HW = decode_masks([instance.visible_mask, instance.amodal_mask])
    return SceneInstance(
        name=instance.category or instance.caption,
        caption=instance.caption,
        box=as_fractions(instance.amodal_box or box_of(instance.amodal_mask), record.width, record.height),
        amodal=amodal_HW,
        visible=visible_HW,
    )
