"""SACap-eval (arXiv 2506.00596): captions in Parquet; pictures and masks as in SA-1B, joined by annotation id."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from occlusionformer.evaluation.benchmark import BenchmarkItem, ItemTruth
from occlusionformer.evaluation.benchmarks.source import (
    BenchmarkError,
    BenchmarkSource,
    LoadedItems,
    checked_key,
    files_in,
    text_field,
)
from occlusionformer.evaluation.benchmarks.sources.layouts import open_picture
from occlusionformer.evaluation.benchmarks.tables import rows
from occlusionformer.evaluation.benchmarks.truths import counted_pairs, pixels
from occlusionformer.evaluation.metrics.regions import resized
from occlusionformer.layout import Box, Instance, Layout, LayoutError, RunLength
from occlusionformer.layout.document import Document
from occlusionformer.layout.limits import COLLECTIONS
from occlusionformer.layout.problems import Problem, shown
from occlusionformer.layout.schema import Pixels
from occlusionformer.layout.text import parse_json, text_of
from occlusionformer.pictures import find_picture, is_dot_file


class SacapSettings(Document):
    files: tuple[str, ...] = Field(description="Patterns for the table of captions.")
    images: str = Field("test", description="Folder with the pictures, and beside each its annotations `sa_<id>.json`.")
    size: Pixels = Field(1024, description="Width and height to draw in; masks are brought to it.")


def read(settings: SacapSettings, folder: Path) -> LoadedItems:
    images = folder / settings.images
    if not images.is_dir():
        raise BenchmarkError([f"source.images: expected a folder, got {str(images)!r}"])
    found = {path.stem: path for path in sorted(images.rglob("*.json")) if not is_dot_file(path)}
    loaded = LoadedItems(files=files_in(folder, settings.files))
    for row in rows(loaded.files, ("imagename", "caption", "segments_info")):
        with loaded.row(row.place):
            key = checked_key(Path(text_field(row.fields, "imagename")).stem)
            if key not in found:
                raise LayoutError([f"expected {key}.json in {settings.images}, found none"])
            loaded.items.append(_item(key, row.fields, found[key], settings.size))
    return loaded


def _item(key: str, fields: dict[str, Any], path: Path, size: int) -> BenchmarkItem:
    """Boxes are the smallest around the visible masks; a mask that vanishes at this size stays, as an empty one."""
    picture = find_picture(path.parent, f"{path.stem}.jpg") or path.with_suffix(".jpg")
    problems = [] if picture.is_file() else [Problem((), f"expected {picture.name} beside {path.name}, found none")]
    known, segments = _annotations(path), _segments(fields)
    regions, captions = [], []
    for place, segment in enumerate(segments):
        try:
            regions.append(_region(known, segment["anno_id"]))
            captions.append(text_field(segment, "caption"))
        except LayoutError as error:
            problems += error.under(("segments_info", place)).details
    if problems:
        raise LayoutError(problems)
    boxes = [region.bounds() for region in regions]
    names = tuple(str(segment["anno_id"]) for segment in segments)
    instances = tuple(
        Instance(id=name, caption=caption, box=box) for name, caption, box in zip(names, captions, boxes, strict=True)
    )
    layout = Layout(prompt=text_field(fields, "caption"), width=size, height=size, instances=instances)
    truth = _truth(names, captions, boxes, [resized(region, size, size) for region in regions], size)
    truth = replace(truth, prompt_boxes=tuple(_inclusive(region, size) for region in regions))
    return BenchmarkItem(key=key, layout=layout, truth=truth, reference=partial(open_picture, picture))


def _inclusive(region: RunLength, size: int) -> tuple[float, float, float, float]:
    """The box of a mask up to its last row and column, as published code prompts the segmenter."""
    box, (height, width) = region.bounds(), region.size
    return box.x1 * size, box.y1 * size, (box.x2 - 1 / width) * size, (box.y2 - 1 / height) * size


def _truth(
    names: tuple[str, ...], captions: list[str], boxes: list[Box], masks: list[dict[str, Any] | None], size: int
) -> ItemTruth:
    return ItemTruth(
        boxes=tuple(pixels(box, size, size) for box in boxes),
        frame=(size, size),
        names=names,
        categories=tuple(captions),
        overlap_pairs=counted_pairs(boxes, set()),
        masks=tuple(masks),
    )


def _segments(fields: dict[str, Any]) -> list[dict[str, Any]]:
    found = fields["segments_info"]
    if not isinstance(found, list) or not all(isinstance(each, dict) and "anno_id" in each for each in found):
        raise LayoutError([f"segments_info: expected a list of objects with anno_id and caption, got {shown(found)}"])
    return found


def _annotations(path: Path) -> dict[int, Any]:
    document = parse_json(text_of(path, COLLECTIONS), COLLECTIONS)
    found = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise LayoutError([Problem((path.name, "annotations"), f"expected a list of objects, got {shown(found)}")])
    return {each.get("id"): each.get("segmentation") for each in found}


def _region(known: dict[int, Any], identifier: Any) -> RunLength:
    if identifier not in known:
        raise LayoutError([f"anno_id: expected an annotation of the picture, got {shown(identifier)}"])
    return RunLength.model_validate(known[identifier])


SACAP = BenchmarkSource(name="sacap", settings=SacapSettings, read=read)
