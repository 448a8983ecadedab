"""Picture files from anywhere, decoded by one set of rules: upright RGB of 8 bits, or an error with the file's name.

Reading::

    read_picture(source, name=None, ground=WHITE, limits=LIMITS) -> Picture    .image, .pixels(), .check_size(w, h)
    as_rgb(image, name="picture", ground=WHITE)    the same colours for a Pillow image that is in memory already
    read_mask(source, name=None)                   the values of an 8-bit grey PNG, exactly as they are stored
    file_bytes(path)                               a picture file undecoded, if it is not too large

The rules:

* PNG, JPEG, WebP, GIF, BMP and TIFF, told by their first bytes; of several frames or pages the first is taken.
* Limits of bytes and pixels are checked before anything is decoded.
* All eight EXIF orientations are applied. EXIF data that cannot be read turns nothing, as in viewers.
* Of 16 bits the upper 8 are kept, grey and colour alike.
* Transparent pixels are laid over `ground`; with `ground=None` a picture that has any is refused.
* CMYK, palettes and other modes become RGB by Pillow's formulas. Colour profiles are not applied.
* Cut, damaged and foreign files raise PictureError, and nothing else.

Finding::

    pictures_in(folder), pictures_of(files) -> {stem: paths}
    find_picture(folder, name), is_picture_name(path), is_hidden(path)
"""

from occlusionformer.pictures.colour import WHITE, Colour, as_rgb
from occlusionformer.pictures.errors import PictureError
from occlusionformer.pictures.files import LIMITS, PictureLimits, file_bytes
from occlusionformer.pictures.finding import (
    PICTURE_ENDINGS,
    find_picture,
    is_dot_file,
    is_picture_name,
    pictures_in,
    pictures_of,
)
from occlusionformer.pictures.reading import Picture, read_mask, read_picture

__all__ = [
    "LIMITS",
    "PICTURE_ENDINGS",
    "WHITE",
    "Colour",
    "Picture",
    "PictureError",
    "PictureLimits",
    "as_rgb",
    "file_bytes",
    "find_picture",
    "is_dot_file",
    "is_picture_name",
    "pictures_in",
    "pictures_of",
    "read_mask",
    "read_picture",
]
