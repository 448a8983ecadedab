"""Where pictures and masks come from: items by number, broken ones with the reason."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from occlusionformer.data.engine.item import BadItemError, Item, decode_image, digest
from occlusionformer.data.engine.plan import FolderSourcePlan, RecordSourcePlan, SceneSourcePlan, SourcePlan
from occlusionformer.data.records import (
    Mask,
    Provenance,
    Record,
    RecordFolder,
    RecordInstance,
    box_of,
    encode_mask,
    png,
)
from occlusionformer.data.records.masks import is_empty, mask_from_runs
from occlusionformer.data.scenes import SceneDataset, SceneSpec
from occlusionformer.tensors.runs import checked_runs

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


class Source(Protocol):
    """Pictures with visible masks, in an order that does not change. May be sent to worker processes."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """Names the picture; no two are equal."""
        ...

    def print(self, index: int) -> str:
        """Changes when the picture or its masks do; cheap, so that a rerun can ask for all."""
        ...

    def load(self, index: int) -> Item:
        """The item with its record. Raises BadItemError, OSError or ValueError for what is broken."""
        ...


def make_source(plan: SourcePlan, folder: Path) -> Source:
    """The source that a plan names; its paths start at `folder`. Raises ValueError where it has nothing."""
    if isinstance(plan, SceneSourcePlan):
        return SceneItems(plan)
    if isinstance(plan, FolderSourcePlan):
        return FolderItems(plan, folder)
    return RecordItems(plan, folder)


@dataclass(frozen=True)
class SceneItems:
    """Layered scenes, stripped of all but pictures and visible masks."""

    plan: SceneSourcePlan

    @cached_property
    def scenes(self) -> SceneDataset:
        spec = SceneSpec(
            size=self.plan.size, min_instances=self.plan.min_instances, max_instances=self.plan.max_instances
        )
        return SceneDataset(seed=self.plan.seed, length=self.plan.count, spec=spec)

    def __len__(self) -> int:
        return self.plan.count

    def key(self, index: int) -> str:
        return f"scene-{self.plan.seed}-{index}"

    def print(self, index: int) -> str:
        return self.key(index)

    def load(self, index: int) -> Item:
        scene = self.scenes[index]
        height, width = scene.image.shape[:2]
        instances = tuple(
            _instance(str(place), encode_mask(item.visible)) for place, item in enumerate(scene.instances)
        )
        record = Record(
            image_id=self.key(index),
            width=width,
            height=height,
            prompt="",
            instances=instances,
            provenance=Provenance(dataset="layered scenes", source=f"seed {self.plan.seed}"),
        )
        return Item(key=self.key(index), content=png(scene.image), record=record)


@dataclass(frozen=True)
class FolderItems:
    """Pictures and JSON files that share their names."""

    plan: FolderSourcePlan
    base: Path

    @cached_property
    def names(self) -> tuple[str, ...]:
        found = tuple(sorted(path.stem for path in self._annotations.glob("*.json")))
        if not found:
            raise ValueError(f"source: expected JSON files in {self._annotations}, got none")
        return found

    @property
    def _images(self) -> Path:
        return self.base / self.plan.images

    @property
    def _annotations(self) -> Path:
        return self.base / (self.plan.annotations or self.plan.images)

    def __len__(self) -> int:
        return len(self.names)

    def key(self, index: int) -> str:
        return self.names[index]

    def print(self, index: int) -> str:
        note = (self._annotations / f"{self.names[index]}.json").read_bytes()
        picture = self._picture(index)
        return digest(note + str(picture and picture.stat().st_size).encode())

    def load(self, index: int) -> Item:
        name = self.names[index]
        picture = self._picture(index)
        if picture is None:
            raise BadItemError(f"image: expected {name} with an ending out of {', '.join(PICTURES)}, got no such file")
        height, width = decode_image(picture.read_bytes()).shape[:2]
        note = _finite_json(self._annotations / f"{name}.json")
        provenance = Provenance(dataset=self.plan.dataset, source=picture.name, license=self.plan.license)
        record = Record(
            image_id=name,
            width=width,
            height=height,
            prompt=str(note.get("prompt", "")),
            instances=_annotated(note, height, width),
            image_path=picture.name,
            provenance=provenance,
        )
        return Item(key=name, path=str(picture), record=record)

    def _picture(self, index: int) -> Path | None:
        candidates = (self._images / f"{self.names[index]}{ending}" for ending in PICTURES)
        return next((path for path in candidates if path.is_file()), None)


@dataclass(frozen=True)
class RecordItems:
    """Records of a data set, stripped of what the stages will say."""

    plan: RecordSourcePlan
    base: Path

    @cached_property
    def records(self) -> RecordFolder:
        return RecordFolder(self.base / self.plan.folder, self.plan.split)

    def __len__(self) -> int:
        return len(self.records)

    def key(self, index: int) -> str:
        return self.records[index].image_id

    def print(self, index: int) -> str:
        return digest(repr(self.records[index]))

    def load(self, index: int) -> Item:
        record, image = self.records.item(index)
        if image is None:
            raise BadItemError("image: expected one in the tar, got none")
        if decode_image(image).shape[:2] != (record.height, record.width):
            raise BadItemError(f"image: expected {record.width} x {record.height} pixels")
        instances = tuple(
            replace(instance, amodal_mask=None, amodal_box=None, visible_mask=_checked(instance.visible_mask, place))
            for place, instance in enumerate(record.instances)
        )
        bare = replace(
            record,
            instances=instances,
            order=None,
            order_confidence=None,
            depth=None,
            depth_confidence=None,
            image_file=None,
            image_sha256=None,
        )
        return Item(key=record.image_id, content=image, record=bare)


def _instance(identifier: str, mask: Mask) -> RecordInstance:
    return RecordInstance(id=identifier, caption="", visible_mask=mask, visible_box=box_of(mask))


def _checked(mask: Mask | None, place: int) -> Mask:
    if mask is None or is_empty(mask):
        raise BadItemError(f"instances[{place}]: expected a visible mask with set pixels, got none")
    return mask


def _finite_json(path: Path) -> dict[str, Any]:
    """An object without NaN or infinity anywhere."""

    def refuse(constant: str) -> float:
        raise BadItemError(f"{path.name}: expected finite numbers, got {constant}")

    try:
        value = json.loads(path.read_bytes(), parse_constant=refuse)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadItemError(f"{path.name}: expected JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("annotations"), list):
        raise BadItemError(f"{path.name}: expected an object with a list of annotations")
    return value


def _annotated(note: dict[str, Any], height: int, width: int) -> tuple[RecordInstance, ...]:
    found, problems = [], []
    for place, annotation in enumerate(note["annotations"]):
        try:
            found.append(_annotation(annotation, place, height, width))
        except ValueError as error:
            problems.append(f"annotations[{place}]: {error}")
    if problems:
        raise BadItemError("; ".join(problems))
    return tuple(found)


def _annotation(annotation: Any, place: int, height: int, width: int) -> RecordInstance:
    segmentation = annotation.get("segmentation") if isinstance(annotation, dict) else None
    if not isinstance(segmentation, dict) or segmentation.get("size") != [height, width]:
        raise ValueError(f"expected a run-length segmentation of size [{height}, {width}]")
    runs_R = checked_runs(segmentation.get("counts"), height, width)
    if not runs_R[1::2].any():
        raise ValueError("expected a mask with set pixels, got an empty one")
    box = annotation.get("bbox")
    if box is not None and not (isinstance(box, list) and all(_is_finite(edge) for edge in box)):
        raise ValueError("expected a bbox of finite numbers")
    mask = mask_from_runs(runs_R, height, width)
    caption = annotation.get("caption", "")
    return replace(
        _instance(str(annotation.get("id", place)), mask), caption=caption if isinstance(caption, str) else ""
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shard_of(indices: np.ndarray, source: Source) -> str:
    """Changes when any picture of a shard does."""
    return digest("\n".join(f"{source.key(index)} {source.print(index)}" for index in indices.tolist()))
