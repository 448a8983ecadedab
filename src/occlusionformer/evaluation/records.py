"""Files of recorded judgements: one JSON line each, keyed by picture, question and judge. No torch, no numpy."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from occlusionformer.evaluation.judgement import Identity, Json, JudgeRequest, canonical, digest
from occlusionformer.pictures import as_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

    from occlusionformer.evaluation.benchmark import QuestionKind


try:
    import fcntl
except ImportError:  # a system without POSIX locks
    fcntl = None  # type: ignore[assignment]

LOCK_TRIES, LOCK_PAUSE = 50, 0.1
"""Five seconds in all."""


class RecordError(ValueError):
    """A file of records is damaged, other than by a writer that was killed."""


@dataclass(frozen=True, kw_only=True)
class JudgementRecord:
    """One judgement, also one that failed."""

    key: str
    """Digest of picture, question and judge: a question with the same key need not be asked again."""
    item: str
    kind: QuestionKind
    answer: Json
    """None where the judge gave nothing usable."""
    failure: str | None = None
    """Why there is no answer."""
    reply: str | None = None
    num_unreadable: int | None = None
    """Replies about single instances that could not be read and count as no; None when there was none."""

    def as_json(self) -> dict[str, Json]:
        return {name: value for name, value in vars(self).items() if name == "answer" or value is not None}


def picture_digest(picture: Image) -> str:
    """Digest of the pixels of a picture, independent of its file."""
    rgb = as_rgb(picture)
    return hashlib.sha256(f"RGB {rgb.width} {rgb.height} ".encode() + rgb.tobytes()).hexdigest()


def record_key(picture: str, request: JudgeRequest, judge: Identity) -> str:
    """The key of a judgement, known before it is made."""
    return digest([picture, request.as_json(), judge])


class RecordFile:
    """A file of JSON lines that only grows; lines are on the disk before `append` returns.

    One writer at a time, where the system knows locks. A last line that a killed writer left unfinished is cut off
    when the file is opened. Raises RuntimeError when somebody else is writing.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")
        self._lock(path)
        self._cut_unfinished_line()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, lines: Iterable[Mapping[str, Json]]) -> None:
        self._file.write("".join(canonical(line) + "\n" for line in lines).encode("ascii"))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _lock(self, path: Path) -> None:
        """Waits some seconds: the lock of a writer that was just killed is released late."""
        if fcntl is None:
            return
        for attempt in range(LOCK_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(LOCK_PAUSE if attempt + 1 < LOCK_TRIES else 0)
        self._file.close()
        raise RuntimeError(f"{path}: another process is writing to this file")

    def _cut_unfinished_line(self) -> None:
        end = kept = self._file.seek(0, os.SEEK_END)
        newline = -1
        while kept > 0 and newline < 0:
            start = max(0, kept - 65536)
            self._file.seek(start)
            newline = self._file.read(kept - start).rfind(b"\n")
            kept = start + newline + 1
        if kept != end:
            self._file.truncate(kept)


def read_lines(paths: Iterable[Path]) -> Iterator[dict[str, Json]]:
    """The lines of several files. An unfinished last line is skipped; raises RecordError for any other bad line."""
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _parse(line, f"{path}:{number}")


def read_records(paths: Iterable[Path]) -> dict[str, JudgementRecord]:
    """Records by key. Of several with one key an answer wins over a failure, and the first over later ones."""
    found: dict[str, JudgementRecord] = {}
    for line in read_lines(paths):
        try:
            record = JudgementRecord(**line)
        except TypeError as error:
            raise RecordError(f"expected a recorded judgement, got {canonical(line)[:200]}") from error
        known = found.get(record.key)
        if known is None or (known.answer is None and record.answer is not None):
            found[record.key] = record
    return found


def _parse(line: bytes, place: str) -> dict[str, Json]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise RecordError(f"{place}: expected a line of JSON, got {line[:80]!r}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{place}: expected a JSON object, got {line[:80]!r}")
    return value
