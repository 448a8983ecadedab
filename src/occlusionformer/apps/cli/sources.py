"""Layouts from files: documents in any format, and pictures that carry their own layout."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from occlusionformer.apps.cli.console import RefusedError, problems_of
from occlusionformer.generation import Provenance, request_to_repeat
from occlusionformer.generation.png_text import SIGNATURE
from occlusionformer.generation.provenance import provenance_in
from occlusionformer.layout import Layout, LayoutError, read_layouts
from occlusionformer.layout.formats.coco import image_names, listed_images
from occlusionformer.layout.formats.format import ListOrder
from occlusionformer.layout.limits import LAYOUTS
from occlusionformer.layout.schema import CyclePolicy
from occlusionformer.layout.text import parse_json, text_of

STANDARD_INPUT = Path("-")
"""Stands for what is piped in."""

MOST_PIPED = 2**27
"""Bytes of a picture or document that comes through a pipe; a document has a smaller limit of its own."""


@dataclass(frozen=True, kw_only=True)
class SourceContent:
    """What is in a file: layouts, and what a picture says about its own making."""

    layouts: list[Layout]
    record: Provenance | None

    def layout(self) -> Layout:
        """The only layout."""
        if len(self.layouts) != 1:
            raise RefusedError([f"expected a document with one layout, got {len(self.layouts)}"])
        return self.layouts[0]


@dataclass(frozen=True)
class SourceOptions:
    """How files are to be read: the options of a command as they were given."""

    format: str
    prompt: str | None = None
    canvas: str | None = None
    cycles: str | None = None
    most: int | None = None
    """Instances; None for any number."""
    image: str | None = None
    """The id or the file name of the only image to read."""
    boxes_only: bool = False
    """Leave masks and polygons unread."""
    list_order: str | None = None
    """Which end of a list of boxes is in front."""

    def read(self, path: Path, *, one: bool = False) -> SourceContent:
        """A document, or a picture with the layout that it was drawn from; `-` is standard input.

        With `one`, a document of several images is refused at once, with the choice there is.

        Raises ValueError with all problems; those that no field is to blame for begin with the name of the file.
        """
        with _opened(path) as file:
            start = file.read(len(SIGNATURE))
            file.seek(0)
            if start == SIGNATURE:
                source = _source_of_picture(file, str(path))
            else:
                source = SourceContent(layouts=self._read(file, str(path), one=one), record=None)
        self.check_limit(source.layouts)
        return source

    def check_limit(self, layouts: Sequence[Layout]) -> None:
        """Refuse layouts with more instances than the user allows."""
        if self.most is None:
            return
        counts = [
            (f"[{place}]." if len(layouts) > 1 else "", len(each.instances)) for place, each in enumerate(layouts)
        ]
        too_many = [
            f"{where}instances: expected at most {self.most} (--max-instances), got {count}"
            for where, count in counts
            if count > self.most
        ]
        if too_many:
            raise RefusedError(too_many)

    def _read(self, file: BinaryIO, name: str, *, one: bool) -> list[Layout]:
        width, height = size_of("canvas", self.canvas)
        content = file.read(LAYOUTS.bytes + 1)
        try:
            if one and self.format == "coco" and self.image is None:
                names = image_names(parse_json(text_of(content), LAYOUTS))
                if len(names) > 1:
                    found = f"the {len(names)} images of {name}, {listed_images(names)}"
                    raise RefusedError([f"--image: expected one of {found}, got nothing"])
            return read_layouts(
                content,
                self.format,
                prompt=self.prompt,
                width=width,
                height=height,
                cycles=cast("CyclePolicy | None", self.cycles),  # the layout checks it
                regions=False if self.boxes_only else None,
                image=self.image,
                list_order=cast("ListOrder | None", self.list_order),  # the format checks it
            )
        except LayoutError as error:
            raise RefusedError([str(each) if each.path else f"{name}: {each}" for each in error.details]) from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file, or the content of a pipe."""
    if path == STANDARD_INPUT:
        yield _piped(sys.stdin.buffer, path)
        return
    if not path.exists():
        raise RefusedError([f"{path}: no such file"])
    if path.is_dir():
        raise RefusedError([f"{path}: expected a file, got a folder"])
    with path.open("rb") as file:
        yield file if file.seekable() else _piped(file, path)


def _piped(file: BinaryIO, path: Path) -> BinaryIO:
    content = file.read(MOST_PIPED + 1)
    if len(content) > MOST_PIPED:
        raise RefusedError([f"{path}: expected at most {MOST_PIPED >> 20} MB through a pipe, got more"])
    return BytesIO(content)


def _source_of_picture(file: BinaryIO, name: str) -> SourceContent:
    try:
        record = provenance_in(file, name)
        return SourceContent(layouts=[request_to_repeat(record).layout], record=record)
    except ValueError as error:
        raise RefusedError([located(name, problem) for problem in problems_of(error)]) from None


def located(name: object, problem: str) -> str:
    """A problem with the name of its file in front, unless it is there already."""
    return problem if problem.startswith(f"{name}: ") else f"{name}: {problem}"


def size_of(option: str, text: str | None) -> tuple[int, int] | tuple[None, None]:
    """`640x480` as width and height."""
    if text is None:
        return None, None
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text)
    if match is None:
        raise RefusedError([f"{option}: expected WIDTHxHEIGHT in pixels, as in 640x480, got {text!r}"])
    return int(match[1]), int(match[2])
