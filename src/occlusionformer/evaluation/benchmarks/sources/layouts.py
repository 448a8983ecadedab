"""Layouts in any format this package reads, with reference pictures beside them or none."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PIL import Image
from pydantic import Field

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.benchmarks.source import (
    BenchmarkError,
    BenchmarkSource,
    LoadedItems,
    checked_key,
    files_in,
)
from occlusionformer.evaluation.benchmarks.truths import truth_of
from occlusionformer.layout import FORMATS, LayoutError, read_layouts
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import one_of
from occlusionformer.pictures import pictures_in, read_picture


class LayoutsSettings(Document):
    files: tuple[str, ...] = Field(("**/*.json",), description="Patterns for the layouts.")
    layout_format: str = Field("native", description="The format they are in.")
    references: str | None = Field(None, description="Folder with a picture for every layout, named by its key.")


def read(settings: LayoutsSettings, folder: Path) -> LoadedItems:
    """A file with one layout gives an item named after it; one with several numbers them from 0."""
    if settings.layout_format not in FORMATS:
        raise BenchmarkError([f"source.layout_format: expected {one_of(FORMATS)}, got {settings.layout_format!r}"])
    loaded = LoadedItems(files=files_in(folder, settings.files))
    pictures = None if settings.references is None else _pictures(folder / settings.references)
    for path in loaded.files:
        with loaded.row(path.relative_to(folder).as_posix()):
            layouts = read_layouts(path, settings.layout_format)
            for place, layout in enumerate(layouts):
                key = checked_key(path.stem if len(layouts) == 1 else f"{path.stem}-{place}")
                if pictures is not None and key not in pictures:
                    raise LayoutError([f"expected a picture {key} in {settings.references}, found none"])
                opened = None if pictures is None else partial(open_picture, pictures[key])
                loaded.items.append(BenchmarkItem(key=key, layout=layout, truth=truth_of(layout), reference=opened))
    return loaded


def open_picture(path: Path) -> Image.Image:
    return read_picture(path).image


def _pictures(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise BenchmarkError([f"source.references: expected a folder, got {str(folder)!r}"])
    found = pictures_in(folder)
    if several := [", ".join(path.name for path in paths) for paths in found.values() if len(paths) > 1]:
        raise BenchmarkError(
            [f"source.references: expected one picture for a layout, got {names}" for names in several]
        )
    return {key: paths[0] for key, paths in found.items()}


LAYOUTS = BenchmarkSource(name="layouts", settings=LayoutsSettings, read=read)
