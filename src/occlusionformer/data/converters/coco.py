"""COCO-style files: images, categories, and annotations that are not sorted by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.grouping import Grouped
from occlusionformer.data.converters.json_stream import JsonStream


@dataclass(frozen=True)
class CocoImage:
    """What a file says of a picture."""

    id: int
    width: int
    height: int
    path: str | None
    prompt: str


def read_images(path: Path) -> dict[int, CocoImage]:
    """By id. Raises ValueError with everything wrong with them."""
    images: dict[int, CocoImage] = {}
    problems: list[str] = []
    with JsonStream(path) as stream:
        for place, value in enumerate(stream.elements("images")):
            row = Fields(value, ("images", place))
            image = CocoImage(
                id=row.number("id"),
                width=row.number("width"),
                height=row.number("height"),
                path=row.text("file_name") if "file_name" in row else None,
                prompt=row.text("caption") if "caption" in row else "",
            )
            if image.id in images:
                row.report("expected an id of its own", image.id, "id")
            images[image.id] = image
            problems += (f"{path.name}: {problem}" for problem in row.problems)
    if problems:
        raise ValueError("\n".join(problems))
    return images


def read_categories(path: Path) -> dict[int, str]:
    """Names by id; empty for a file without."""
    with JsonStream(path) as stream:
        if not any(name == "categories" for name in stream.names()):
            return {}
    with JsonStream(path) as stream:
        rows = [Fields(value, ("categories", place)) for place, value in enumerate(stream.elements("categories"))]
    names = {row.number("id"): row.text("name") for row in rows}
    if problems := [f"{path.name}: {problem}" for row in rows for problem in row.problems]:
        raise ValueError("\n".join(problems))
    return names


def annotations_by(path: Path, name: str) -> Grouped:
    """Annotations by the number in one of their fields. Raises ValueError for one that has none there."""
    return Grouped(_numbered(path, name))


def caption_of(row: Fields, categories: dict[int, str]) -> tuple[str, str | None]:
    """Caption and category of an annotation; the name of the category stands in for a caption."""
    category = None
    if "category_id" in row:
        category = categories.get(row.number("category_id"))
        if category is None and not row.problems:
            row.report("expected the id of a category", row.value["category_id"], "category_id")
    if "caption" in row:
        return row.text("caption"), category
    if category is None and not row.problems:
        row.report("expected a caption, or a category_id", row.value, "caption")
    return category or "", category


def captions_by_image(path: Path) -> dict[int, str]:
    """The first caption of every image in a COCO captions file."""
    captions: dict[int, str] = {}
    with JsonStream(path) as stream:
        for place, value in enumerate(stream.elements("annotations")):
            row = Fields(value, ("annotations", place))
            captions.setdefault(row.number("image_id"), row.text("caption").strip())
            if row.problems:
                raise ValueError("\n".join(f"{path.name}: {problem}" for problem in row.problems))
    return captions


def _numbered(path: Path, name: str) -> Iterator[tuple[int, Any]]:
    with JsonStream(path) as stream:
        for place, value in enumerate(stream.elements("annotations")):
            row = Fields(value, ("annotations", place))
            number = row.number(name)
            if row.problems:
                raise ValueError("\n".join(f"{path.name}: {problem}" for problem in row.problems))
            yield number, value
