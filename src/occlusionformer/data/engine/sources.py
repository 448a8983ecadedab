"""Sources of pictures and masks: items by number, broken ones with the reason."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from occlusionformer.data.engine.item import BadItemError, Item, Removal, digest
from occlusionformer.data.engine.plan import FolderSourcePlan, RecordSourcePlan, SceneSourcePlan, SourcePlan
from occlusionformer.data.json_files import read_json
from occlusionformer.data.records import (
    Mask,
    Record,
    RecordFolder,
    RecordInstance,
    RecordOrigin,
    box_of,
    check_record,
    encode_mask,
    png,
)
from occlusionformer.data.records.masks import is_empty, mask_from_runs
from occlusionformer.data.world.artwork import ART_LICENSE
from occlusionformer.data.world.scenes import WorldDataset, WorldSpec
from occlusionformer.layout.problems import MOST_PROBLEMS, shown
from occlusionformer.pictures import PICTURE_ENDINGS, Picture, is_dot_file, pictures_of, read_picture
from occlusionformer.tensors.runs import checked_runs

NOTE_NAME = re.compile(r"(?P<name>.+)\.json(\.gz)?", re.IGNORECASE)
"""JSON files, packed or not."""

MOST_MASK_PIXELS = 2**31
"""Greatest number of mask pixels over all instances of a picture: stages hold a byte for each."""


class Source(Protocol):
    """Pictures with visible masks, in an order that does not change. May be sent to worker processes."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """A unique name of the picture."""
        ...

    def print(self, index: int) -> str:
        """A fingerprint that changes when the picture or its masks change; cheap to compute."""
        ...

    def load(self, index: int) -> Item:
        """Load the item with its record. Raises BadItemError, OSError or ValueError if it is broken."""
        ...


def make_source(plan: SourcePlan, folder: Path) -> Source:
    """The source that a plan names; relative paths start at `folder`. Raises ValueError for an empty source."""
    if isinstance(plan, SceneSourcePlan):
        return SceneItems(plan)
    if isinstance(plan, FolderSourcePlan):
        return FolderItems(plan, folder)
    return RecordItems(plan, folder)


@dataclass(frozen=True)
class SceneItems:
    """Layered scenes, reduced to pictures and visible masks."""

    plan: SceneSourcePlan

    @cached_property
    def scenes(self) -> WorldDataset:
        plan = self.plan
        spec = WorldSpec(
            width=plan.size, height=plan.size, min_instances=plan.min_instances, max_instances=plan.max_instances
        )
        return WorldDataset(seed=plan.seed, length=plan.count, spec=spec)

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
            provenance=RecordOrigin(dataset="layered scenes", source=f"seed {self.plan.seed}", license=ART_LICENSE),
        )
        return Item(key=self.key(index), content=png(scene.image), record=record)


@dataclass(frozen=True)
class FolderItems:
    """Pictures and JSON files that share their names; endings in capitals count, hidden files do not."""

    plan: FolderSourcePlan
    base: Path

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._notes))

    @cached_property
    def _notes(self) -> dict[str, Path]:
        """The JSON files, by the names of their pictures."""
        folder = self.base / (self.plan.annotations or self.plan.images)
        found: dict[str, Path] = {}
        problems = []
        for path in _listed("annotations" if self.plan.annotations else "images", folder):
            named = NOTE_NAME.fullmatch(path.name)
            if named is None or is_dot_file(path):
                continue
            if (other := found.setdefault(named["name"], path)) != path:
                problems.append(f"source: expected one JSON file of {named['name']}, got {other.name} and {path.name}")
        if problems:
            raise ValueError("\n".join(problems))
        if not found:
            raise ValueError(f"source: expected JSON files in {folder}, got none")
        return found

    @cached_property
    def _pictures(self) -> dict[str, list[Path]]:
        folder = self.base / self.plan.images
        return pictures_of(_listed("images", folder))

    def __len__(self) -> int:
        return len(self.names)

    def key(self, index: int) -> str:
        return self.names[index]

    def print(self, index: int) -> str:
        note = self._notes[self.names[index]].read_bytes()
        sizes = [path.stat().st_size for path in self._pictures.get(self.names[index], ())]
        return digest(note + (str(sizes[0]) if len(sizes) == 1 else str(sizes or None)).encode())

    def load(self, index: int) -> Item:
        name = self.names[index]
        path = self._picture(name)
        picture = read_picture(path)
        width, height = picture.image.size
        note = _note(self._notes[name])
        record = Record(
            image_id=name,
            width=width,
            height=height,
            prompt=_text(note, "prompt"),
            instances=_annotated(note, picture),
            image_path=path.name,
            provenance=RecordOrigin(dataset=self.plan.dataset, source=path.name, license=self.plan.license),
        )
        return Item(key=name, path=str(path), record=_right(record))

    def _picture(self, name: str) -> Path:
        found = self._pictures.get(name, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise BadItemError(f"image: expected one picture of {name}, got {', '.join(path.name for path in found)}")
        raise BadItemError(
            f"image: expected {name} with an ending out of {', '.join(PICTURE_ENDINGS)}, got no such file"
        )


@dataclass(frozen=True)
class RecordItems:
    """Records of a data set, without what the stages will add."""

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
        read_picture(image, name=record.image_id).check_size(record.width, record.height)
        masks = [_known(instance, place) for place, instance in enumerate(record.instances)]
        seen = [place for place, mask in enumerate(masks) if not is_empty(mask)]
        hidden = (instance for place, instance in enumerate(record.instances) if place not in seen)
        instances = tuple(
            replace(
                record.instances[place],
                amodal_mask=None,
                amodal_box=None,
                visible_box=record.instances[place].visible_box or box_of(masks[place]),
            )
            for place in seen
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
        removals = tuple(Removal(instance=each.id, stage="load", reason="nothing of it is seen") for each in hidden)
        return Item(key=record.image_id, content=image, record=_right(bare), removals=removals)


def _right(record: Record) -> Record:
    """The record, if it is valid by the rules of `data validate`; else raises BadItemError."""
    if problems := check_record(record):
        raise BadItemError("; ".join(map(str, problems[:MOST_PROBLEMS])))
    return record


def _instance(identifier: str, mask: Mask) -> RecordInstance:
    return RecordInstance(id=identifier, caption="", visible_mask=mask, visible_box=box_of(mask))


def _known(instance: RecordInstance, place: int) -> Mask:
    if instance.visible_mask is None:
        raise BadItemError(f"instances[{place}]: expected a visible mask, got none")
    return instance.visible_mask


def _listed(field: str, folder: Path) -> list[Path]:
    """The files of a folder that a field of the plan names. Raises ValueError if it is no folder."""
    if not folder.is_dir():
        raise ValueError(f"source.{field}: expected a folder, got {str(folder)!r}")
    return sorted(folder.iterdir())


def _note(path: Path) -> dict[str, Any]:
    """Parse a JSON object of annotations; NaN and infinity are refused."""
    value = read_json(path)
    if not isinstance(value, dict) or not isinstance(value.get("annotations"), list):
        raise BadItemError(f"{path.name}: expected an object with a list of annotations")
    return value


def _text(value: dict[str, Any], name: str) -> str:
    """A string; empty if it is null or missing."""
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        raise BadItemError(f"{name}: expected text, got {shown(found)}")
    return found or ""


def _annotated(note: dict[str, Any], picture: Picture) -> tuple[RecordInstance, ...]:
    width, height = picture.image.size
    annotations = note["annotations"]
    if len(annotations) * width * height > MOST_MASK_PIXELS:
        raise BadItemError(
            f"annotations: expected at most {MOST_MASK_PIXELS:,} pixels of masks, "
            f"got {len(annotations)} of {width} x {height}"
        )
    found, problems = [], []
    for place, annotation in enumerate(annotations):
        try:
            found.append(_annotation(annotation, place, picture))
        except ValueError as error:
            problems.append(f"annotations[{place}]: {error}")
    if problems:
        raise BadItemError("; ".join(problems[:MOST_PROBLEMS]))
    return tuple(found)


def _annotation(annotation: Any, place: int, picture: Picture) -> RecordInstance:
    width, height = picture.image.size
    segmentation = annotation.get("segmentation") if isinstance(annotation, dict) else None
    if not isinstance(segmentation, dict):
        raise ValueError(f"expected a run-length segmentation of size [{height}, {width}], got {shown(segmentation)}")
    if (size := segmentation.get("size")) != [height, width]:
        text = f"expected a run-length segmentation of size [{height}, {width}], got {shown(size)}"
        raise ValueError(f"{text}{picture.exif_hint}")
    runs_R = checked_runs(segmentation.get("counts"), height, width)
    if not runs_R[1::2].any():
        raise ValueError("expected a mask with set pixels, got an empty one")
    box = annotation.get("bbox")
    if box is not None and not (isinstance(box, list) and all(_is_finite(edge) for edge in box)):
        raise ValueError("expected a bbox of finite numbers")
    identifier = annotation.get("id", place)
    if isinstance(identifier, bool) or not isinstance(identifier, int | str):
        raise ValueError(f"expected an id that is text or a whole number, got {shown(identifier)}")
    mask = mask_from_runs(runs_R, height, width)
    return replace(_instance(str(identifier), mask), caption=_text(annotation, "caption"))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shard_of(indices: np.ndarray, source: Source) -> str:
    """A hash that changes when any picture of a shard changes."""
    return digest("\n".join(f"{source.key(index)} {source.print(index)}" for index in indices.tolist()))
