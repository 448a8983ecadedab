"""Sources of benchmark items: each reads one file format from a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.layout import LayoutError
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import shown
from occlusionformer.pictures import is_dot_file

_KEY = re.compile(r"[\w-][\w.-]*", re.ASCII)
"""Keys are used as file names."""


class BenchmarkError(ValueError):
    """A benchmark or its files cannot be used; `problems` holds one line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        assert self.problems, "an error without a problem"
        super().__init__("\n".join(self.problems))


@dataclass
class LoadedItems:
    """Items of a benchmark's files, and the rows that could not be read."""

    items: list[BenchmarkItem] = field(default_factory=list)
    made_later: Sequence[BenchmarkItem] | None = None
    """In place of `items`: a sequence that makes each item when it is taken, every key once."""
    problems: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Places of the rows that could not be read, each once."""
    files: list[Path] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    """Places of the boxes that reach slightly beyond the canvas and were cut off at it."""
    notes: list[str] = field(default_factory=list)
    """What has to be printed next to the results."""
    groups: tuple[str, ...] = ()
    """Names of the groups of items, in the order of the tables."""

    @contextmanager
    def row(self, place: str) -> Iterator[None]:
        """A context for reading one row: its problems are kept with its place, and the next row can be read."""
        try:
            yield
        except LayoutError as error:
            self.refuse(place, error.problems)

    def refuse(self, place: str, problems: Iterable[str]) -> None:
        self.refused.append(place)
        self.problems += [f"{place}: {problem}" for problem in problems]


@dataclass(frozen=True, kw_only=True)
class BenchmarkSource:
    """A file format of benchmark items."""

    name: str
    settings: type[Document]
    """The fields of `source` in a definition, beside `format`."""
    read: Callable[[Any, Path], LoadedItems]
    """Reads the items of a folder with the settings. Problems of single rows are in the result; raises BenchmarkError
    for problems of all of them, such as missing files."""
    has_files: bool = True
    """False for items that are made from the settings alone."""


def files_in(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of the first pattern that matches any, sorted. Raises BenchmarkError when no pattern matches."""
    tried = list(patterns)
    for pattern in tried:
        if found := sorted(path for path in folder.glob(pattern) if path.is_file() and not is_dot_file(path)):
            return found
    raise BenchmarkError([f"{folder}: expected files {' or '.join(tried)}, found none"])


def checked_key(value: object) -> str:
    """A key that can be used as a file name. Raises LayoutError for any other value."""
    key = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise LayoutError([f"expected an id of letters, digits, '.', '_' and '-', got {shown(value)}"])
    return key


def text_field(row: dict[str, Any], name: str) -> str:
    """The text of a field. Raises LayoutError for a missing field and for one that is not text."""
    if not isinstance(row.get(name), str):
        raise LayoutError([f"{name}: expected text, got {shown(row.get(name))}"])
    return str(row[name])
