"""Layouts from files: documents in any format, and pictures that carry their own layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from occlusionformer.apps.cli.console import RefusedError
from occlusionformer.generation import Provenance, read_provenance, request_to_repeat
from occlusionformer.layout import Layout, read_layouts
from occlusionformer.layout.schema import CyclePolicy

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are to be read: the options of a command as they were given."""

    format: str
    prompt: str | None = None
    canvas: str | None = None
    cycles: str | None = None
    max_instances: int | None
    """None for any number."""

    def layouts(self, path: Path) -> list[Layout]:
        """All layouts of a document; of a picture, the one it was drawn from."""
        record = record_of(path)
        found = self._read(path) if record is None else [request_to_repeat(record).layout]
        self.check_limit(found)
        return found

    def layout(self, path: Path) -> Layout:
        """The only layout of a file."""
        found = self.layouts(path)
        if len(found) != 1:
            raise RefusedError([f"expected a document with one layout, got {len(found)}"])
        return found[0]

    def check_limit(self, layouts: Sequence[Layout]) -> None:
        """Refuse layouts with more instances than the user allows."""
        if self.max_instances is None:
            return
        counts = [
            (f"[{place}]." if len(layouts) > 1 else "", len(each.instances)) for place, each in enumerate(layouts)
        ]
        too_many = [
            f"{where}instances: expected at most {self.max_instances} (--max-instances), got {count}"
            for where, count in counts
            if count > self.max_instances
        ]
        if too_many:
            raise RefusedError(too_many)

    def _read(self, path: Path) -> list[Layout]:
        width, height = size_of("canvas", self.canvas)
        return read_layouts(
            path,
            self.format,
            prompt=self.prompt,
            width=width,
            height=height,
            cycles=cast("CyclePolicy | None", self.cycles),  # the layout checks it
        )


def record_of(path: Path) -> Provenance | None:
    """What a picture says about its own making; None for a file that is no PNG."""
    if not path.exists():
        raise RefusedError([f"{path}: no such file"])
    if not path.is_file():
        raise RefusedError([f"{path}: expected a file, got a folder"])
    with path.open("rb") as file:
        is_png = file.read(len(PNG_SIGNATURE)) == PNG_SIGNATURE
    return read_provenance(path) if is_png else None


def size_of(option: str, text: str | None) -> tuple[int, int] | tuple[None, None]:
    """`640x480` as width and height."""
    if text is None:
        return None, None
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text)
    if match is None:
        raise RefusedError([f"{option}: expected WIDTHxHEIGHT in pixels, as in 640x480, got {text!r}"])
    return int(match[1]), int(match[2])
