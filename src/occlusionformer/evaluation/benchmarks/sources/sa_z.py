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
from occlusionformer.evaluation.benchmarks.clipping import clipped_pixels
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
from occlusionformer.layout.box import is_number
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import shown
from occlusionformer.layout.schema import Pixels

GIVEN = "corners as given"
"""Added to rows whose box was cut off: x1, y1, x2, y2 in pixels."""


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
            light = _light(record)
            records[checked_key(image_id)] = light, read_layout(light, "sa-z", regions=False)
    chosen = evaluation_images(_candidate(image_id, *found) for image_id, found in records.items())
    for image_id in sorted(chosen):
        with loaded.row(image_id):
            held, layout = records[image_id]
            loaded.items.append(_item(image_id, held, layout, settings=settings, folder=folder))
            rows = enumerate(held["mask_annotation"])
            loaded.clipped += [f"{image_id}: mask_annotation[{place}]" for place, row in rows if GIVEN in row]
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


def _light(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without run lengths, which are most of it, and with boxes cut off where they leave the canvas."""
    rows = record.get("mask_annotation")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        return dict(record)
    return {**record, "mask_annotation": [_light_row(row) for row in rows]}


def _light_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A box that reaches slightly beyond its mask's canvas is cut off, and kept as it was under GIVEN."""
    mask, box = row.get("segmentation"), row.get("bbox")
    if not isinstance(mask, Mapping):
        return row
    light = {**row, "segmentation": {"size": mask.get("size")}}
    numbers = isinstance(box, list) and len(box) == 4 and all(is_number(edge) for edge in box)
    size = mask.get("size")
    if isinstance(box, list) and numbers and isinstance(size, list) and list(map(type, size)) == [int, int]:
        corners = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
        x1, y1, x2, y2 = clipped_pixels(corners, size[1], size[0])
        if [x1, y1, x2, y2] != corners:
            light |= {"bbox": [x1, y1, x2 - x1, y2 - y1], GIVEN: corners}
    return light


def _candidate(image_id: str, record: Mapping[str, Any], layout: Layout) -> Candidate:
    edges = len(layout.zorder.edges) if layout.zorder else 0
    return Candidate(image_id, len(layout.instances), edges, overlap(layout.boxes).total_iou)


def _item(
    image_id: str, record: Mapping[str, Any], layout: Layout, *, settings: SaZSettings, folder: Path
) -> BenchmarkItem:
    hides = set(layout.zorder.edges) if layout.zorder else set()
    truth = ItemTruth(
        boxes=tuple(
            tuple(row[GIVEN]) if GIVEN in row else pixels(box, layout.width, layout.height)
            for row, box in zip(record["mask_annotation"], layout.boxes, strict=True)
        ),
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
