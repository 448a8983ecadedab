"""Reads JSON files larger than memory: members of the outermost object or list, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from occlusionformer.data.converters.json_ends import ValueEnd
from occlusionformer.data.json_files import LONGEST_VALUE, JsonFileError, opened
from occlusionformer.data.records.packages import from_extra

CHUNK = 4 * 2**20
"""Bytes read at a time."""

GUESSES = 3
"""How often the end of an object is guessed before its brackets are counted."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_END_OF_MEMBER = re.compile(rb'\}\s*(?:,\s*("[^"\\]*")\s*:\s*(?=\{)|\}\s*\Z)')
"""The end of a member that is an object and is followed by the name of another one, or by the end of the file."""


class Member(NamedTuple):
    """One member of the outermost object or list."""

    key: str | int
    """Its name, or its place in a list."""
    value: Any


class JsonStream:
    """A JSON file, plain or gzip; used as a context manager.

    Raises JsonFileError with file and byte of what is not JSON, and of values longer than LONGEST_VALUE.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._loads = from_extra("orjson").loads
        self._opened = opened(self.path)
        self._file = self._opened.__enter__()
        self._buffer = b""
        self._position = 0
        self._passed = 0
        """Bytes of the file before the buffer."""

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def members(self) -> Iterator[Member]:
        """Iterate over all members; one is in memory at a time.

        The end of an object is guessed from what follows it. A guess that parses is right, since no JSON object
        starts with a shorter one.
        """
        if self._peek() == b"{":
            yield from self._object_members()
        elif self._peek() == b"[":
            yield from (Member(place, self._value()) for place, _ in enumerate(self._elements()))
        else:
            raise self._error("expected an object or a list")
        if self._peek():
            raise self._error("expected the end of the file")

    def elements(self, name: str) -> Iterator[Any]:
        """Iterate over the list under `name` in the outermost object; other members are skipped."""
        found = False
        for key in self.names():
            if key == name and self._peek() == b"[":
                found = True
                yield from (self._value() for _ in self._elements())
        if not found:
            raise JsonFileError(f"{self.path}: expected an object with the list {name!r}, got one without")

    def names(self) -> Iterator[str]:
        """Iterate over the names of the outermost object; values that are not read are skipped."""
        if self._peek() != b"{":
            raise self._error("expected an object")
        for key in self._keys():
            start = self._passed + self._position
            yield key
            if self._passed + self._position == start:
                self._pass_value()

    def _pass_value(self) -> None:
        """Skip a value member by member, so that only one member has to fit into memory."""
        if self._peek() == b"[":
            for _ in self._elements():
                self._value()
        elif self._peek() == b"{":
            for _ in self._keys():
                self._value()
        else:
            self._value()

    def _object_members(self) -> Iterator[Member]:
        for first_key in self._keys():
            if self._peek() != b"{":
                yield Member(first_key, self._value())
                continue
            key: str | None = first_key
            while key is not None:
                value, following = self._guessed_object()
                yield Member(key, value)
                key = following

    def _keys(self) -> Iterator[str]:
        """Names of the object that starts here; the caller reads each value before asking for the next name."""
        self._position += 1
        while self._peek() != b"}":
            key = self._value() if self._peek() == b'"' else None
            if not isinstance(key, str) or self._peek() != b":":
                raise self._error("expected a name in quotes and a colon")
            self._position += 1
            self._peek()
            yield key
            self._pass_comma(b"}")
        self._position += 1

    def _elements(self) -> Iterator[None]:
        """Yields once for each element of the list that starts here; the caller reads it before going on."""
        self._position += 1
        while self._peek() != b"]":
            yield
            self._pass_comma(b"]")
        self._position += 1

    def _pass_comma(self, closing: bytes) -> None:
        after = self._peek()
        if after == b",":
            self._position += 1
            if self._peek() == closing:
                raise self._error("expected another member after the comma")
        elif after != closing:
            raise self._error(f"expected a comma or {closing.decode()}")

    def _guessed_object(self) -> tuple[Any, str | None]:
        """The object that starts here, and the next member's name if that was reached and is an object as well."""
        for number, guess in enumerate(_END_OF_MEMBER.finditer(self._buffer, self._position)):
            try:
                value = self._loads(memoryview(self._buffer)[self._position : guess.start() + 1])
                following = self._loads(guess[1]) if guess[1] else None
            except ValueError:
                if number + 1 == GUESSES:
                    break
                continue
            self._position = guess.start() + 1 if following is None else guess.end()
            return value, following
        return self._value(), None

    def _value(self) -> Any:
        if self._peek() in (b"", b",", b":", b"]", b"}"):
            raise self._error("expected a value")
        end = self._end_of_value()
        try:
            value = self._loads(memoryview(self._buffer)[self._position : end])
        except ValueError as error:
            raise self._error(f"not JSON: {error}") from None
        self._position = end
        return value

    def _end_of_value(self) -> int:
        """The end of the value that starts here; reads as much of the file as that needs."""
        ending = ValueEnd(self._buffer[self._position : self._position + 1])
        while True:
            end = ending.find(self._buffer, self._position)
            if end is not None and end < len(self._buffer):
                return end
            if len(self._buffer) - self._position > LONGEST_VALUE:
                raise self._error(f"expected values of at most {LONGEST_VALUE >> 20} MB")
            if not self._read_on():
                if end is not None:
                    return end
                raise self._error("the value that starts here is cut off")

    def _peek(self) -> bytes:
        """The next byte that is not whitespace; empty at the end of the file."""
        while True:
            space = _SPACE.match(self._buffer, self._position)
            assert space is not None
            self._position = space.end()
            if self._position < len(self._buffer):
                return self._buffer[self._position : self._position + 1]
            if not self._read_on():
                return b""

    def _read_on(self) -> bool:
        """Read more of the file: as much as the buffer holds, so that long values are rarely rescanned."""
        rest = self._buffer[self._position :]
        piece = self._file.read(max(CHUNK, len(rest)))
        if self._passed == 0 and not self._buffer:
            piece = piece.removeprefix(b"\xef\xbb\xbf")
        self._passed += self._position
        self._buffer, self._position = rest + piece, 0
        return bool(piece)

    def _error(self, text: str) -> JsonFileError:
        start = self._buffer[self._position : self._position + 40]
        return JsonFileError(f"{self.path}: byte {self._passed + self._position}: {text}, got {start!r}")
