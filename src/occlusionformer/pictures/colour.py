"""Any picture that Pillow knows as RGB of 8 bits.

Arrays: H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from PIL import Image

from occlusionformer.pictures.errors import PictureError

if TYPE_CHECKING:
    import numpy as np

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

WHITE: Colour = (255, 255, 255)
"""What transparent pictures are laid over unless somebody says otherwise: as on a page."""

KEY = "transparency"
"""Where Pillow keeps the colour, or the alpha of palette entries, that stands for transparent."""

BAND = 2**20
"""Pixels of a picture that are worked on at once where a copy of all would be too much."""

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
WITH_ALPHA = ("RGBA", "LA", "PA")
PREMULTIPLIED = {"RGBa": "RGBA", "La": "LA"}
CONVERTIBLE = ("RGB", "RGBX", "L", "1", "P", "CMYK", "YCbCr", "HSV", *WITH_ALPHA)


def as_rgb(image: Image.Image, *, name: str = "picture", ground: Colour | None = WHITE) -> Image.Image:
    """The picture in mode RGB; itself where it is so already, so copy it before drawing on it.

    16-bit values keep their upper 8 bits. Transparent pixels are laid over `ground`; None refuses them. EXIF
    orientation is not looked at: that belongs to files. Raises PictureError, with `name`, for transparent pixels
    without a ground, for whole numbers beyond 16 bits and for floating point.
    """
    if image.mode in PREMULTIPLIED:
        image = image.convert(PREMULTIPLIED[image.mode])
    if image.mode in (*SIXTEEN_BITS, "I"):
        image = _eight_bits(image, name)
    if image.mode not in CONVERTIBLE:
        raise PictureError(name, f"expected 8 or 16 bits a channel in grey, RGB or CMYK, got mode {image.mode}")
    if KEY in image.info:
        image = _with_alpha(image, image.info[KEY])
    if image.mode in WITH_ALPHA:
        return _over(image, name, ground)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Grey of 16 bits as grey of 8; with alpha where one of its values stands for transparent."""
    import numpy as np

    key = image.info.get(KEY)
    grey = Image.new("L" if key is None else "LA", image.size)
    for box in bands(image):
        values_HW = np.asarray(image.crop(box))
        if image.mode == "I" and (values_HW.min() < 0 or values_HW.max() > 0xFFFF):
            raise PictureError(name, f"expected grey of 16 bits, got {values_HW.min()} to {values_HW.max()}")
        band = Image.fromarray((values_HW >> 8).astype(np.uint8))
        grey.paste(band if key is None else Image.merge("LA", (band, _opaque(values_HW != key))), box)
    return grey


def _with_alpha(image: Image.Image, key: Any) -> Image.Image:
    """The picture of a colour, or of palette entries, that stand for transparent, with alpha instead."""
    if image.mode in ("P", "PA"):
        return image.convert("RGBA")  # the key is the alpha of every entry
    if image.mode not in ("1", "L", "RGB"):
        return image
    import numpy as np

    if image.mode == "1":
        key, image = (255 if key else 0), image.convert("L")
    is_kept = np.asarray(image) != np.asarray(key)
    if image.mode == "L":
        return Image.merge("LA", (image, _opaque(is_kept)))
    return Image.merge("RGBA", (*image.split(), _opaque(is_kept.any(axis=2))))


def _opaque(is_kept_HW: np.ndarray) -> Image.Image:
    return Image.fromarray(is_kept_HW.astype("uint8") * 255)


def _over(image: Image.Image, name: str, ground: Colour | None) -> Image.Image:
    """Band by band, so that a large picture is not there a third time."""
    if image.mode == "PA":
        image = image.convert("RGBA")
    least, _ = image.getchannel("A").getextrema()
    if least == 255:
        return image.convert("RGB")
    if ground is None:
        raise PictureError(name, f"expected no transparent pixels, got alpha down to {least} of 255")
    page = Image.new("RGB", image.size, ground)
    for box in bands(image):
        band = image.crop(box).convert("RGBA")
        page.paste(band, box, band)
    return page


def bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Boxes that share out the rows of a picture, about BAND pixels each."""
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)
