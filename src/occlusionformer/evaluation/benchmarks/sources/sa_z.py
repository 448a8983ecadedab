"""SA-Z Eval: the thousand hardest held-out pictures of SA-Z, chosen by the rule in `data.held_out`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from occlusionformer.data.converters.json_stream import JsonStream
from occlusionformer.data.held_out import Candidate, evaluation_images, is_held_out_image
from occlusionformer.evaluation.benchmark import BenchmarkItem, ItemTruth
from occlusionformer.evaluation.benchmarks.phrases import head_phrase
from occlusionformer.evaluation.benchmarks.source import (
    BenchmarkError,
    BenchmarkSource,
    LoadedItems,
    checked_key,
    files_in,
)
from occlusionformer.evaluation.benchmarks.sources.layouts import open_picture
from occlusionformer.evaluation.benchmarks.truths import counted_pairs, pixels
from occlusionformer.generation import nearest_size
from occlusionformer.layout import Layout, LayoutError, overlap, read_layout
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import shown
from occlusionformer.layout.schema import Pixels


class SaZSettings(Document):
    files: tuple[str, ...] = Field(("**/SA-Z.json",), description="Patterns for the published file.")
    images: str | None = Field(None, description="Folder that `image_path` is relative to; without, no FID.")
    longest_side: Pixels = Field(1024, description="Of the pictures to draw; the shape stays that of the original.")


def read(settings: SaZSettings, folder: Path) -> LoadedItems:
    """Streams the file: only held-out records are looked into."""
    loaded = LoadedItems(files=files_in(folder, settings.files))
    records: dict[str, tuple[Mapping[str, Any], Layout]] = {}
    for place, image_id, record in _held_out(loaded.files):
        with loaded.row(place):
            if not isinstance(record, Mapping):
                raise LayoutError([f"expected an object, got {shown(record)}"])
            light = _without_masks(record)
            records[checked_key(image_id)] = light, read_layout(light, "sa-z", regions=False)
    chosen = evaluation_images(_candidate(image_id, *found) for image_id, found in records.items())
    for image_id in sorted(chosen):
        with loaded.row(image_id):
            loaded.items.append(_item(image_id, *records[image_id], settings=settings, folder=folder))
    return loaded


def _held_out(files: list[Path]) -> Iterator[tuple[str, str, Any]]:
    """Place, id and record."""
    for path in files:
        try:
            with JsonStream(path) as stream:
                for key, record in stream.members():
                    named = record.get("image_id", key) if isinstance(record, Mapping) else key
                    if is_held_out_image(str(named)):
                        yield f"{path.name}: {key}", str(named), record
        except (ValueError, RuntimeError) as error:
            raise BenchmarkError([str(error)]) from None


def _without_masks(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the sizes of its masks alone: run lengths are most of it, and nothing here needs them."""
    rows = record.get("mask_annotation")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        return dict(record)
    light = []
    for row in rows:
        mask = row.get("segmentation")
        light.append({**row, "segmentation": {"size": mask.get("size")}} if isinstance(mask, Mapping) else row)
    return {**record, "mask_annotation": light}


def _candidate(image_id: str, record: Mapping[str, Any], layout: Layout) -> Candidate:
    edges = len(layout.zorder.edges) if layout.zorder else 0
    return Candidate(image_id, len(layout.instances), edges, overlap(layout.boxes).total_iou)


def _item(
    image_id: str, record: Mapping[str, Any], layout: Layout, *, settings: SaZSettings, folder: Path
) -> BenchmarkItem:
    hides = set(layout.zorder.edges) if layout.zorder else set()
    truth = ItemTruth(
        boxes=tuple(pixels(box, layout.width, layout.height) for box in layout.boxes),
        frame=(layout.width, layout.height),
        names=tuple(instance.id for instance in layout.instances),
        categories=tuple(head_phrase(instance.caption) for instance in layout.instances),
        overlap_pairs=counted_pairs(layout.boxes, hides),
        order=tuple(tuple(row) for row in record["pred_order"]),
    )
    scale = settings.longest_side / max(layout.width, layout.height)
    width, height = nearest_size(round(layout.width * scale), round(layout.height * scale))
    opened = None
    if settings.images is not None:
        opened = partial(open_picture, _picture(folder / settings.images, record.get("image_path")))
    scaled = layout.model_copy(update={"width": width, "height": height})
    return BenchmarkItem(key=image_id, layout=scaled, truth=truth, reference=opened)


def _picture(images: Path, path: object) -> Path:
    if not isinstance(path, str) or not (images / path).resolve().is_relative_to(images.resolve()):
        raise LayoutError([f"image_path: expected a path below {images.name}, got {shown(path)}"])
    if not (images / path).is_file():
        raise LayoutError([f"image_path: expected a picture, found none at {path}"])
    return images / path


SA_Z = BenchmarkSource(name="sa-z", settings=SaZSettings, read=read)
