"""Picture files of every kind that show the same: four corners of four colours, an L to tell turns from mirrors."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 24, 16
"""Of the upright picture."""

COLOURS = ((200, 40, 40), (40, 180, 40), (40, 40, 210), (230, 230, 60))
"""Top left, top right, bottom left, bottom right."""

STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""How rows and columns are stored of a picture of each orientation, from the table of the EXIF standard: where the
0th row and the 0th column of the file are in the picture."""


def upright(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, C) uint8."""
    picture = np.empty((height, width, 3), np.uint8)
    for place, colour in enumerate(COLOURS):
        rows = slice(0, height // 2) if place < 2 else slice(height // 2, height)
        columns = slice(0, width // 2) if place % 2 == 0 else slice(width // 2, width)
        picture[rows, columns] = colour
    picture[2:6, 2:4] = 0
    picture[5:6, 2:8] = 0
    return picture


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=form, **options)
    return stream.getvalue()


def turned(picture: np.ndarray, orientation: int, form: str, **options: Any) -> bytes:
    """A file that shows this picture once its EXIF orientation is applied."""
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](picture)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, form, exif=exif.tobytes(), **options)


def png_file(
    width: int,
    height: int,
    rows: bytes,
    *,
    bits: int,
    kind: int,
    before: tuple[tuple[bytes, bytes], ...] = (),
    after: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """A PNG written by hand: `kind` is its colour type, `rows` its samples without filter bytes."""
    stride = len(rows) // height
    filtered = b"".join(b"\0" + rows[row * stride : (row + 1) * stride] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(filtered)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def huge_png(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel, all of them black: small as a file, large as a picture."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
