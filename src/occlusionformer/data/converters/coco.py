"""COCO-style files: images, categories, and annotations that are not sorted by image."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.converters.grouping import Grouped
from occlusionformer.data.converters.json_stream import JsonStream
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records.repairs import Repairs
from occlusionformer.layout.problems import Problem
from occlusionformer.layout.region import LONGEST_SIDE

MOST_TOLD = 100
"""Most problems listed for a table of images or categories."""


@dataclass(frozen=True)
class CocoImage:
    """One entry of the file's `images`: id, size in pixels, path, and the prompt if it has one."""

    id: int
    width: int
    height: int
    path: str | None
    prompt: str


def read_images(path: Path) -> dict[int, CocoImage]:
    """Read the table `images`: entries by id. Raises ValueError that lists every problem, at most 100."""
    images: dict[int, CocoImage] = {}
    problems: list[str] = []
    with JsonStream(path) as stream:
        for place, value in enumerate(stream.elements("images")):
            row = Fields(value, ("images", place))
            image = CocoImage(
                id=row.number("id"),
                width=_side(row, "width"),
                height=_side(row, "height"),
                path=row.text("file_name") if "file_name" in row else None,
                prompt=row.text("caption") if "caption" in row else "",
            )
            if image.id in images:
                row.report("expected an id of its own", image.id, "id")
            images[image.id] = image
            problems += (f"{path.name}: {problem}" for problem in row.problems)
            if len(problems) >= MOST_TOLD:
                break
    _refuse(problems)
    return images


def read_categories(path: Path) -> dict[int, str]:
    """Names by id; empty for a file without. Raises ValueError with what is wrong with them, 100 problems at most."""
    names: dict[int, str] = {}
    problems: list[str] = []
    with JsonStream(path) as stream:
        if not any(name == "categories" for name in stream.names()):
            return {}
    with JsonStream(path) as stream:
        for place, value in enumerate(stream.elements("categories")):
            row = Fields(value, ("categories", place))
            identifier = row.number("id")
            if identifier in names:
                row.report("expected an id of its own", identifier, "id")
            names[identifier] = row.text("name")
            problems += (f"{path.name}: {problem}" for problem in row.problems)
            if len(problems) >= MOST_TOLD:
                break
    _refuse(problems)
    return names


def annotations_by(path: Path, name: str) -> Grouped:
    """Group annotations by the number in one of their fields, on disk."""
    return Grouped(_annotations(path), "annotations", name)


def astray(
    path: Path, annotations: Grouped, images: Container[int], repairs: Repairs | None
) -> Iterator[BadRecordError]:
    """Annotations that belong to no image of the file: refusals by image, or, where faults are repaired, notes."""
    for problem in annotations.faults():
        yield from _passed_over(path, None, [problem], repairs)
    for image, rows in groupby(annotations.others(images), key=itemgetter(0)):
        yield from _passed_over(path, image, [problem for _, problem in rows], repairs)


def _passed_over(
    path: Path, image: int | None, problems: list[Problem], repairs: Repairs | None
) -> Iterator[BadRecordError]:
    if repairs is None:
        yield BadRecordError(path.name, image, problems)
    else:
        repairs.note(path.name, image, (Problem(each.path, f"annotation left out: {each.text}") for each in problems))
        repairs.keep()


def caption_of(row: Fields, categories: dict[int, str]) -> tuple[str, str | None]:
    """Caption and category of an annotation; the name of the category stands in for a caption."""
    category = None
    if "category_id" in row:
        faults = len(row.problems)
        category = categories.get(row.number("category_id"))
        if category is None and len(row.problems) == faults:
            row.report("expected the id of a category", row.value["category_id"], "category_id")
    if "caption" in row:
        return row.text("caption"), category
    if category is None and "category_id" not in row:
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


def _annotations(path: Path) -> Iterator[object]:
    with JsonStream(path) as stream:
        yield from stream.elements("annotations")


def _side(row: Fields, name: str) -> int:
    """Width or height of a picture in pixels; a number out of range is a problem."""
    faults = len(row.problems)
    side = row.number(name)
    if len(row.problems) == faults and not 1 <= side <= LONGEST_SIDE:
        row.report(f"expected 1 to {LONGEST_SIDE}", side, name)
    return side


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ValueError("\n".join(problems[:MOST_TOLD]))
