"""Reads JSON files of other programs, plain or gzip, one value at a time, with a limit on the size of a value."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from occlusionformer.layout import text as layout_text
from occlusionformer.layout.limits import DocumentLimits
from occlusionformer.layout.problems import MOST_PROBLEMS, LayoutError
from occlusionformer.layout.values import unfit_parts

RECORDS = DocumentLimits(bytes=12 * 2**20, characters=2**22)
"""Of one value: a whole file, a member of a larger one, or a line. Five times the largest record of SA-Z; what is
within takes less than 400 MB once it is read, however it is made up."""

LONGEST_VALUE = RECORDS.bytes

GZIP = b"\x1f\x8b"


class JsonFileError(ValueError):
    """A file that is not JSON, or is too large. The message begins with its name."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The contents of a file, unpacked if it is a gzip.

    Raises JsonFileError for what is no file and where unpacking fails.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe can be read once only, and files of annotations are not
            raise JsonFileError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'something else'}")
        with path.open("rb") as file:
            is_packed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            if is_packed:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield cast("BinaryIO", unpacked)
            else:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise JsonFileError(f"{path}: expected a whole gzip file: {error}") from None


def read_json(path: str | Path) -> Any:
    """The value of a small file: finite numbers, every field once. Raises JsonFileError with everything wrong."""
    with opened(Path(path)) as file:
        content = file.read(LONGEST_VALUE + 1)
    return parse_json(content, Path(path).name)


def read_json_lines(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Numbers from 1, and values, of the lines that are not blank. Raises JsonFileError for the first bad one."""
    name = Path(path).name
    with opened(Path(path)) as file:
        number = 0
        while line := file.readline(LONGEST_VALUE + 1):
            number += 1
            if line.strip():
                yield number, parse_json(line, f"{name}: line {number}")


def parse_json(content: bytes, name: str) -> Any:
    """Parse a JSON text; messages call it `name`. Raises JsonFileError."""
    try:
        value = layout_text.parse_json(layout_text.text_of(content, RECORDS), RECORDS)
        names, numbers = unfit_parts(value, RECORDS)
        if names or numbers:
            raise LayoutError([*names, *numbers][:MOST_PROBLEMS])
    except LayoutError as error:
        raise JsonFileError("\n".join(f"{name}: {problem}" for problem in error.problems)) from None
    return value
