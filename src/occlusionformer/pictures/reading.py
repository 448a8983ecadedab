"""Picture files as upright RGB, and masks as they are.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageFile

from occlusionformer.pictures.colour import KEY, WHITE, Colour, as_rgb, bands
from occlusionformer.pictures.errors import PictureError
from occlusionformer.pictures.files import LIMITS, PictureLimits, decoding, opened_picture

if TYPE_CHECKING:
    import numpy as np

ORIENTATION = 0x0112
"""EXIF tag, by "Exif 2.3", 4.6.4: how the stored rows and columns lie in the picture."""

UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each orientation upright; 6, for one, was taken with the camera turned left."""

GREY_STEPS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey of fewer than 8 bits with; the transparent value in the header is of the file's bits."""

RGB_OF_16_BITS = "RGB;16B"
"""How Pillow names PNG's; it reads the upper 8 bits, by which a transparent colour of 16 cannot be told."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """A picture file, decoded."""

    name: str
    """Of the file, or of whatever holds it."""
    image: Image.Image
    """Upright, mode RGB."""
    orientation: int = UPRIGHT
    """EXIF orientation of the file, 1 to 8; 1 for none."""

    def pixels(self) -> np.ndarray:
        """(H, W, C) uint8; handed over in bands, since Pillow makes two copies of what it hands over."""
        import numpy as np

        pixels_HWC = np.empty((self.image.height, self.image.width, 3), dtype=np.uint8)
        for box in bands(self.image):
            pixels_HWC[box[1] : box[3]] = np.asarray(self.image.crop(box))
        return pixels_HWC

    def check_size(self, width: int, height: int) -> None:
        """Raises PictureError unless the upright picture has this size, which somebody says it has."""
        if problem := self.size_problem(width, height):
            raise PictureError(self.name, problem)

    def size_problem(self, width: int, height: int) -> str:
        """The problem if the upright picture has not this size; empty if it has."""
        if self.image.size == (width, height):
            return ""
        text = f"expected {width} x {height} pixels, got {self.image.width} x {self.image.height}"
        return text + self.exif_hint

    @property
    def exif_hint(self) -> str:
        """To be added where something does not fit: annotations made on the stored rows and columns do not."""
        if self.orientation == UPRIGHT:
            return ""
        return f"; EXIF orientation {self.orientation} turns this picture: annotations belong to the upright one"


def read_picture(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    ground: Colour | None = WHITE,
    limits: PictureLimits = LIMITS,
) -> Picture:
    """A file, or the bytes of one, as an upright picture in RGB.

    `name` is what errors call it: the file's own name unless said. `ground` lies under transparent pixels; None
    refuses them. Raises PictureError, also for files that are no pictures, are cut off, or exceed `limits`.
    """
    called = _called(source, name)
    with opened_picture(source, called, limits) as image:
        form = image.format or "picture"
        before = _orientation(image)
        stored = _stored_mode(image)
        with decoding(called, form):
            image.load()
        if KEY in image.info and stored == RGB_OF_16_BITS:
            raise PictureError(called, "expected no transparent colour in RGB of 16 bits, got one")
        if KEY in image.info and stored in GREY_STEPS:
            image.info[KEY] *= GREY_STEPS[stored]
        # PNG may say it behind the pixels; Pillow turns TIFF while loading, and takes the note of it away.
        left = _orientation(image)
        with decoding(called, form):
            rgb = as_rgb(image, name=called, ground=ground)
        upright = rgb.transpose(TURNS[left]) if left in TURNS else rgb
        upright.info = {}  # what it says of the file no longer holds
        return Picture(name=called, image=upright, orientation=max(before, left))


def read_mask(source: str | Path | bytes, *, name: str | None = None, limits: PictureLimits = LIMITS) -> Image.Image:
    """A grey PNG of 8 bits, mode L, its values as they are stored: nothing is turned, scaled or blended.

    Raises PictureError for any other kind of file or picture.
    """
    called = _called(source, name)
    with opened_picture(source, called, limits) as image:
        if image.format != "PNG" or image.mode != "L" or KEY in image.info:
            raise PictureError(called, f"expected a grey PNG of 8 bits, got {image.format} in mode {image.mode}")
        with decoding(called, "PNG"):
            image.load()
        return image.copy()


def _called(source: str | Path | bytes, name: str | None) -> str:
    if name is not None:
        return name
    return "picture" if isinstance(source, bytes) else Path(source).name


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 to 8. What cannot be read, or is no such number, turns nothing: so it is with every viewer."""
    if image.format == "PNG" and "exif" not in image.info and image.tile:
        return UPRIGHT  # Pillow would decode the picture to look behind it
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:
        return UPRIGHT
    return found if found in TURNS else UPRIGHT


def _stored_mode(image: ImageFile.ImageFile) -> str:
    """What Pillow reads the pixels as, before they are read; nothing where it is no plain name."""
    arguments = image.tile[0][3] if image.tile else None
    return arguments if isinstance(arguments, str) else ""
