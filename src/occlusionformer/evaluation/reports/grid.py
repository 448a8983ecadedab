"""Pictures of several results side by side, as one picture for a paper: a row for every layout, a column each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.reports.labels import labels
from occlusionformer.evaluation.reports.pictures import picture_path, reference_path
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.result import Result
from occlusionformer.layout import Layout
from occlusionformer.pictures import read_picture

GAP = 8
"""Pixels between pictures."""
LABEL_HEIGHT = 0.11
"""Of the side of a cell, for the names above the columns."""
LINE = 0.008
"""Width of the frame of a box, of the side of a cell."""
COLOURS = ("#1f6fb2", "#c8561d", "#2d8a57", "#8a4fb0", "#b8860b", "#b03060", "#3f8c94", "#707070")
MOST_SIDE = 2048
"""Pixels of a cell."""


def common_items(results: Sequence[Result]) -> dict[str, BenchmarkItem]:
    """The items that all results have a picture of, by key in their order. Raises ValueError where there are none."""
    first = _items(results[0])
    shared = set.intersection(*(_keys(result) for result in results))
    found = {key: item for key, item in first.items() if key in shared}
    if not found:
        raise ValueError("results: expected pictures of common items, found none")
    return found


def chosen_items(items: Mapping[str, BenchmarkItem], keys: Sequence[str], number: int) -> list[BenchmarkItem]:
    """The items of some keys; without keys, as many as `number`, spread evenly over all of them.

    Raises ValueError for keys that are not there, and for a number below 1.
    """
    if number < 1:
        raise ValueError(f"number: expected at least 1, got {number}")
    if missing := [key for key in keys if key not in items]:
        raise ValueError("\n".join(f"items: expected a common item, got {key!r}" for key in missing))
    if keys:
        return [items[key] for key in keys]
    found = list(items.values())
    count = min(number, len(found))
    return [found[place * len(found) // count] for place in range(count)]


def picture_grid(
    results: Sequence[Result], items: Sequence[BenchmarkItem], *, side: int, boxes: bool = False
) -> Image.Image:
    """Rows of layouts, columns of results; a column of references comes first where all of them were kept.

    `side` is the longer side of every picture in pixels. `boxes` draws the frames of the layout over every picture.
    Raises ValueError for a picture that is not there any more.
    """
    if not 16 <= side <= MOST_SIDE:
        raise ValueError(f"side: expected 16 to {MOST_SIDE} pixels, got {side}")
    columns = [
        (name, [_drawn(result, item) for item in items]) for name, result in zip(labels(results), results, strict=True)
    ]
    references = [next((path for r in results if (path := reference_path(r, item))), None) for item in items]
    if all(path is not None for path in references):
        columns.insert(0, ("reference", [path for path in references if path is not None]))
    sizes = [_cell_size(item.layout, side) for item in items]
    label_height = round(side * LABEL_HEIGHT)
    width = len(columns) * (side + GAP) - GAP
    grid = Image.new("RGB", (width, label_height + sum(size[1] + GAP for size in sizes) - GAP), "white")
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(size=label_height * 0.6)
    for column, (name, paths) in enumerate(columns):
        left = column * (side + GAP)
        draw.text((left + side / 2, label_height / 2), _fitting(name, font, side), fill="black", font=font, anchor="mm")
        top = label_height
        for item, path, size in zip(items, paths, sizes, strict=True):
            grid.paste(_cell(path, item.layout, size, boxes=boxes), (left + (side - size[0]) // 2, top))
            top += size[1] + GAP
    return grid


def _keys(result: Result) -> set[str]:
    return set(result.document["difficulty"])


def _items(result: Result) -> dict[str, BenchmarkItem]:
    if result.path is None:
        raise ValueError("results: expected folders of runs")
    return {item.key: item for item in RunFolder(result.path).items()}


def _drawn(result: Result, item: BenchmarkItem) -> Path:
    path = picture_path(result, item)
    if path is None:
        raise ValueError(f"{result.path}: expected a picture of {item.key}, found none")
    return path


def _cell_size(layout: Layout, side: int) -> tuple[int, int]:
    scale = side / max(layout.width, layout.height)
    return max(1, round(layout.width * scale)), max(1, round(layout.height * scale))


def _cell(path: Path, layout: Layout, size: tuple[int, int], *, boxes: bool) -> Image.Image:
    rgb = read_picture(path).image
    enlarges = size[0] > rgb.width
    cell = rgb.resize(size, Image.Resampling.NEAREST if enlarges else Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(cell)
    for place, box in enumerate(layout.boxes if boxes else ()):
        x1, y1, x2, y2 = box.pixels(*size)
        line = max(1, round(max(size) * LINE))
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), outline=COLOURS[place % len(COLOURS)], width=line)
    return cell


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, side: int) -> str:
    """The name, cut off where the column is narrower."""
    while len(name) > 1 and font.getlength(name) > side:
        name = name[:-2] + "…"
    return name
