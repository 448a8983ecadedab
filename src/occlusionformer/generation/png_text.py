"""The record in a PNG, wherever a program that saved the picture again has put it. Pixels are never decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from occlusionformer.layout.limits import LAYOUTS
from occlusionformer.layout.text import SIGNATURES

PNG_KEY = "occlusionformer"
"""The keyword of the text chunk that holds the JSON."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MOST_CHUNKS = 2**18
"""Encoders write 8 kB of pixels a chunk: enough for two gigabytes of them."""

LONGEST_CHUNK = 2**31 - 1
"""Bytes, as the standard has it."""

READ_AT_ONCE = 2**20
"""Bytes taken from a file that cannot be skipped through."""

TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
"""Plain, packed, and in any language, packed or not."""


class PngError(ValueError):
    """A file that is no whole PNG, or whose record cannot be read; the text says what and where."""


def png_text(file: BinaryIO, *, most: int = LAYOUTS.bytes) -> str | None:
    """The text under PNG_KEY in a PNG, read from its start; None when there is none.

    The text may be in a tEXt, zTXt or iTXt chunk, before or behind the pixels; what is packed is unpacked no further
    than `most` bytes. Raises PngError for a file that is no PNG, is cut off, or has a damaged or a second record.
    """
    start = file.read(len(SIGNATURE))
    if start != SIGNATURE:
        kind = next((kind for begin, kind in SIGNATURES.items() if start.startswith(begin)), "something else")
        raise PngError(f"expected a PNG picture, got {kind}")
    found: list[str] = []
    for chunk in _chunks(file):
        if chunk.kind in TEXT_KINDS:
            text = chunk.text(most)
            if text is not None and text not in found:
                found.append(text)
    if len(found) > 1:
        raise PngError(f"expected one record, got {len(found)} that differ")
    return found[0] if found else None


@dataclass
class _Chunk:
    """One part of a PNG; its content is read only when it is asked for."""

    file: BinaryIO
    kind: bytes
    start: int
    """Of the chunk in the file, in bytes."""
    length: int
    taken: bytes = b""

    def text(self, most: int) -> str | None:
        """What a text chunk holds under PNG_KEY."""
        keyword = PNG_KEY.encode() + b"\0"
        self.taken = _read(self.file, min(self.length, len(keyword)), self)
        if self.taken != keyword:
            return None
        if self.length > most:
            raise PngError(_too_long(most))
        self.taken += _read(self.file, self.length - len(self.taken), self)
        checksum = struct.unpack(">I", _read(self.file, 4, self))[0]
        if checksum != zlib.crc32(self.kind + self.taken):
            raise PngError(f"expected a whole PNG, got one with a wrong checksum in {self}")
        content = self.taken[len(keyword) :]
        self.taken += b"\0\0\0\0"
        return self._decoded(content, most)

    def skip_rest(self) -> None:
        """Go to the next chunk, past the checksum."""
        _skip(self.file, self.length + 4 - len(self.taken), self)

    def _decoded(self, content: bytes, most: int) -> str:
        if self.kind == b"tEXt":
            return content.decode("latin-1")
        if self.kind == b"zTXt":
            return self._unpacked(content[:1], content[1:], most).decode("latin-1")
        flag, method, rest = content[:1], content[1:2], content[2:]
        *names, text = rest.split(b"\0", 2)
        if flag not in (b"\0", b"\1") or len(names) != 2:
            raise PngError(f"expected a record, got a damaged one in {self}")
        try:
            return (self._unpacked(method, text, most) if flag == b"\1" else text).decode()
        except UnicodeDecodeError:
            raise PngError(f"expected a record in UTF-8, got other bytes in {self}") from None

    def _unpacked(self, method: bytes, content: bytes, most: int) -> bytes:
        inflater = zlib.decompressobj()
        try:
            text = inflater.decompress(content, most + 1) if method == b"\0" else b""
        except zlib.error:
            text = b""
        if len(text) > most:
            raise PngError(_too_long(most))
        if not inflater.eof or inflater.unused_data:
            raise PngError(f"expected a record packed by zlib, got a damaged one in {self}")
        return text

    def __str__(self) -> str:
        return f"chunk {self.kind.decode('latin-1')} at byte {self.start}"


def _chunks(file: BinaryIO) -> Iterator[_Chunk]:
    """All chunks up to IEND."""
    start = len(SIGNATURE)
    for number in range(MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            raise PngError(f"expected a whole PNG, got one that ends at byte {start + len(header)}, before IEND")
        length, kind = struct.unpack(">I4s", header)
        if length > LONGEST_CHUNK or not kind.isalpha() or (number == 0 and kind != b"IHDR"):
            raise PngError(f"expected a whole PNG, got a damaged one: no chunk begins at byte {start}")
        chunk = _Chunk(file, kind, start, length)
        yield chunk
        chunk.skip_rest()
        if kind == b"IEND":
            return
        start += length + 12
    raise PngError(f"expected a PNG of at most {MOST_CHUNKS} chunks, got more")


def _read(file: BinaryIO, count: int, chunk: _Chunk) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise PngError(_cut(chunk))
    return data


def _skip(file: BinaryIO, count: int, chunk: _Chunk) -> None:
    """Past bytes nobody looks at; the last of them must be there."""
    if file.seekable() and count > READ_AT_ONCE:
        file.seek(count - 1, 1)
        count = 1
    while count:
        taken = file.read(min(count, READ_AT_ONCE))
        if not taken:
            raise PngError(_cut(chunk))
        count -= len(taken)


def _cut(chunk: _Chunk) -> str:
    return f"expected a whole PNG, got one that is cut off in {chunk}"


def _too_long(most: int) -> str:
    return f"expected a record of at most {most / 2**20:.3g} MB, got more"
