"""Checks picture files before they are decoded: existence, size and format."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from occlusionformer.layout.problems import one_of
from occlusionformer.pictures.errors import PictureError

FORMATS: dict[bytes, tuple[str, Callable[[BinaryIO], ImageFile.ImageFile]]] = {
    b"\x89PNG\r\n\x1a\n": ("PNG", PngImagePlugin.PngImageFile),
    b"\xff\xd8\xff": ("JPEG", JpegImagePlugin.jpeg_factory),
    b"RIFF": ("WebP", WebPImagePlugin.WebPImageFile),
    b"GIF87a": ("GIF", GifImagePlugin.GifImageFile),
    b"GIF89a": ("GIF", GifImagePlugin.GifImageFile),
    b"BM": ("BMP", BmpImagePlugin.BmpImageFile),
    b"II*\0": ("TIFF", TiffImagePlugin.TiffImageFile),
    b"MM\0*": ("TIFF", TiffImagePlugin.TiffImageFile),
}
"""Formats by the first bytes of a file. Pillow's own choice would start other programs for some, as for EPS, and would
warn of large pictures before it can be asked for their size."""

LONGEST_SIGNATURE = max(map(len, FORMATS))


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureLimits:
    """Limits on pictures; decoding takes nine bytes per pixel, sixteen for WebP."""

    pixels: int = 2**25
    """Room for 8K, 7680 x 4320."""
    bytes: int = 2**27
    """Of the file: four for each of these pixels."""


LIMITS = PictureLimits()
"""What every command and every reader allows."""


def file_bytes(path: str | Path, *, limits: PictureLimits = LIMITS) -> bytes:
    """The contents of a picture file, undecoded.

    Raises PictureError for what is no file, cannot be read, is empty or too large.
    """
    name = Path(path).name
    with _stream(Path(path), name, limits) as stream:
        return stream.read()


@contextmanager
def opened_picture(source: str | Path | bytes, name: str, limits: PictureLimits) -> Iterator[ImageFile.ImageFile]:
    """A picture of which nothing but the header has been read. Raises PictureError."""
    with _stream(source if isinstance(source, bytes) else Path(source), name, limits) as stream:
        start = stream.read(LONGEST_SIGNATURE)
        stream.seek(0)
        found = next((each for signature, each in FORMATS.items() if start.startswith(signature)), None)
        if found is None:
            known = one_of(dict.fromkeys(form for form, _ in FORMATS.values()))
            raise PictureError(name, f"expected a {known} file, got one that starts with {start!r}")
        form, factory = found
        with decoding(name, form):
            image = factory(stream)
        width, height = image.size
        if width < 1 or height < 1 or width * height > limits.pixels:
            raise PictureError(name, f"expected at most {limits.pixels:,} pixels, got {width} x {height}")
        yield image


@contextmanager
def decoding(name: str, form: str) -> Iterator[None]:
    """Turn the many errors that Pillow raises for damaged files into PictureError."""
    try:
        yield
    except (MemoryError, PictureError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(name, f"expected a whole {form} file: {text}") from None


@contextmanager
def _stream(source: Path | bytes, name: str, limits: PictureLimits) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        _check_bytes(len(source), name, limits)
        yield io.BytesIO(source)
        return
    try:
        facts = source.stat()
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for somebody to write
            what = "a folder" if stat.S_ISDIR(facts.st_mode) else "something else"
            raise PictureError(name, f"expected a file, got {what}")
        _check_bytes(facts.st_size, name, limits)
        stream = source.open("rb")
    except FileNotFoundError:
        raise PictureError(name, "no such file") from None
    except OSError as error:
        raise PictureError(name, f"expected a file that can be read: {error.strerror or error}") from None
    with stream:
        yield stream


def _check_bytes(size: int, name: str, limits: PictureLimits) -> None:
    if size == 0:
        raise PictureError(name, "expected a picture, got an empty file")
    if size > limits.bytes:
        raise PictureError(name, f"expected a file of at most {limits.bytes:,} bytes, got {size:,}")
