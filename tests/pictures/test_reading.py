"""Every kind of picture file becomes the same upright RGB."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from occlusionformer.pictures import PictureError, read_mask, read_picture
from tests.pictures.files import HEIGHT, WIDTH, encoded, png_file, turned, upright
from tests.tables import for_each

EXACT = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}


def pixels_of(content: bytes, **options) -> np.ndarray:
    return read_picture(content, **options).pixels()


def grey_png(values: np.ndarray, bits: int, **chunks) -> bytes:
    """Grey samples of 8 or 16 bits."""
    height, width = values.shape
    return png_file(width, height, values.astype(">u2" if bits == 16 else "u1").tobytes(), bits=bits, kind=0, **chunks)


@for_each("form", EXACT)
@for_each("orientation", range(1, 9))
def test_all_eight_orientations_are_turned_upright(form: str, orientation: int):
    found = read_picture(turned(upright(), orientation, form, **EXACT[form]))
    np.testing.assert_array_equal(found.pixels(), upright())
    assert found.orientation == orientation


@for_each("orientation", range(1, 9))
def test_jpeg_is_turned_upright(orientation: int):
    found = pixels_of(turned(upright(), orientation, "JPEG", quality=95, subsampling=0))
    assert np.abs(found.astype(int) - upright()).mean() < 6


def test_exif_behind_the_pixels_of_a_png_counts():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.rot90(upright())
    content = png_file(HEIGHT, WIDTH, stored.tobytes(), bits=8, kind=2, after=((b"eXIf", exif.tobytes()[6:]),))
    np.testing.assert_array_equal(pixels_of(content), upright())


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(value: int):
    exif = Image.Exif()
    exif[0x0112] = value
    content = encoded(Image.fromarray(upright()), "PNG", exif=exif.tobytes())
    np.testing.assert_array_equal(pixels_of(content), upright())


@pytest.mark.parametrize("block", [b"", b"II", b"garbage of some length", b"II*\0\x08\0\0\0\xff\xff"])
def test_exif_that_cannot_be_read_turns_nothing(block: bytes):
    content = png_file(WIDTH, HEIGHT, upright().tobytes(), bits=8, kind=2, before=((b"eXIf", block),))
    np.testing.assert_array_equal(pixels_of(content), upright())


def test_grey_of_16_bits_keeps_its_upper_8():
    values = np.arange(0, 65536, 97, dtype=np.uint16)[:672].reshape(24, 28)
    found = pixels_of(grey_png(values, 16))
    np.testing.assert_array_equal(found, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_colour_of_16_bits_keeps_its_upper_8():
    values = (upright().astype(np.uint16) << 8) + 77
    content = png_file(WIDTH, HEIGHT, values.astype(">u2").tobytes(), bits=16, kind=2)
    np.testing.assert_array_equal(pixels_of(content), upright())


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bits_of_a_tiff_in_either_byte_order(order: str):
    values = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    mode = {"<u2": "I;16", ">u2": "I;16B"}[order]
    image = Image.frombytes(mode, (16, 16), values.astype(order).tobytes())
    found = pixels_of(encoded(image, "TIFF"))
    np.testing.assert_array_equal(found[..., 0], values >> 8)


def test_whole_numbers_beyond_16_bits_and_fractions_are_refused():
    wide = Image.fromarray(np.full((4, 4), 70000, np.int32))
    real = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    with pytest.raises(PictureError, match=r"^deep\.tif: expected grey of 16 bits, got 70000 to 70000$"):
        read_picture(encoded(wide, "TIFF"), name="deep.tif")
    with pytest.raises(PictureError, match=r"^real\.tif: expected 8 or 16 bits a channel .*, got mode F$"):
        read_picture(encoded(real, "TIFF"), name="real.tif")


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparent_pixels_lie_over_the_ground(form: str):
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, :8] = 0
    alpha[:, 8:12] = 128
    content = encoded(Image.fromarray(np.dstack([upright(), alpha])), form, **EXACT[form])
    for ground in ((255, 255, 255), (10, 20, 30)):
        found = pixels_of(content, ground=ground)
        np.testing.assert_array_equal(found[:, :8], np.broadcast_to(ground, (HEIGHT, 8, 3)))
        mean = (upright()[:, 8:12] * 128.0 + np.array(ground) * 127.0) / 255
        assert np.abs(found[:, 8:12] - mean).max() <= 1
        np.testing.assert_array_equal(found[:, 12:], upright()[:, 12:])


def test_transparent_pixels_are_refused_without_a_ground():
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[3, 3] = 7
    content = encoded(Image.fromarray(np.dstack([upright(), alpha])), "PNG")
    with pytest.raises(PictureError, match=r"^a\.png: expected no transparent pixels, got alpha down to 7 of 255$"):
        read_picture(content, name="a.png", ground=None)
    alpha[:] = 255
    opaque = encoded(Image.fromarray(np.dstack([upright(), alpha])), "PNG")
    np.testing.assert_array_equal(pixels_of(opaque, ground=None), upright())


def test_grey_with_alpha_lies_over_the_ground():
    grey = np.full((4, 6), 90, np.uint8)
    alpha = np.zeros((4, 6), np.uint8)
    alpha[:, 3:] = 255
    found = pixels_of(encoded(Image.fromarray(np.dstack([grey, alpha]), mode="LA"), "PNG"), ground=(1, 2, 3))
    np.testing.assert_array_equal(found[:, :3], np.broadcast_to((1, 2, 3), (4, 3, 3)))
    np.testing.assert_array_equal(found[:, 3:], np.full((4, 3, 3), 90))


def test_a_palette_and_its_transparent_entries():
    image = Image.fromarray(upright()).quantize(8)
    np.testing.assert_array_equal(pixels_of(encoded(image, "PNG")), np.array(image.convert("RGB")))
    index = image.getpixel((0, 0))
    clear = np.array(image) == index
    found = pixels_of(encoded(image, "PNG", transparency=index), ground=(9, 8, 7))
    assert (found[clear] == (9, 8, 7)).all()
    np.testing.assert_array_equal(found[~clear], np.array(image.convert("RGB"))[~clear])


def test_a_colour_that_stands_for_transparent():
    key = tuple(int(value) for value in upright()[0, 0])
    clear = (upright() == key).all(axis=2)
    chunk = (b"tRNS", struct.pack(">HHH", *key))
    found = pixels_of(png_file(WIDTH, HEIGHT, upright().tobytes(), bits=8, kind=2, before=(chunk,)), ground=(0, 0, 9))
    assert clear.any()
    assert (found[clear] == (0, 0, 9)).all()
    np.testing.assert_array_equal(found[~clear], upright()[~clear])


@pytest.mark.parametrize("bits", [8, 16])
def test_a_grey_that_stands_for_transparent(bits: int):
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) + (0 if bits == 8 else 300)
    chunk = (b"tRNS", struct.pack(">H", int(values[1, 1])))
    found = pixels_of(grey_png(values, bits, before=(chunk,)), ground=(50, 60, 70))
    assert tuple(found[1, 1]) == (50, 60, 70)
    rest = np.ones((4, 6), bool)
    rest[1, 1] = False
    np.testing.assert_array_equal(found[rest][:, 0], (values if bits == 8 else values >> 8)[rest])


@pytest.mark.parametrize(("bits", "samples"), [(1, [0, 1, 1, 0]), (2, [0, 1, 2, 3]), (4, [0, 7, 11, 15])])
def test_few_bits_of_grey_and_the_value_that_stands_for_transparent(bits: int, samples: list[int]):
    packed = 0
    for sample in samples:
        packed = packed << bits | sample
    row = (packed << (-4 * bits % 8)).to_bytes(-(-4 * bits // 8), "big")
    greys = [sample * 255 // (2**bits - 1) for sample in samples]
    assert pixels_of(png_file(4, 1, row, bits=bits, kind=0))[0, :, 0].tolist() == greys
    chunk = (b"tRNS", struct.pack(">H", samples[-1]))
    found = pixels_of(png_file(4, 1, row, bits=bits, kind=0, before=(chunk,)), ground=(3, 4, 5))[0, :, 1].tolist()
    assert found == [4 if sample == samples[-1] else grey for sample, grey in zip(samples, greys, strict=True)]


def test_a_transparent_colour_of_16_bits_is_refused():
    values = (upright().astype(">u2") << 8).tobytes()
    content = png_file(WIDTH, HEIGHT, values, bits=16, kind=2, before=((b"tRNS", struct.pack(">HHH", 1, 2, 3)),))
    with pytest.raises(PictureError, match="expected no transparent colour in RGB of 16 bits, got one"):
        read_picture(content)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_and_colour_with_alpha_of_either_depth(bits: int):
    kind, unit = ("u1", 1) if bits == 8 else (">u2", 256)
    rgba = np.dstack([upright(), np.full((HEIGHT, WIDTH), 255, np.uint8)]).astype(np.uint16) * unit
    rgba[:, :4, 3] = 0
    found = pixels_of(png_file(WIDTH, HEIGHT, rgba.astype(kind).tobytes(), bits=bits, kind=6), ground=(7, 7, 7))
    assert (found[:, :4] == 7).all()
    np.testing.assert_array_equal(found[:, 4:], upright()[:, 4:])


def test_one_bit_is_black_and_white():
    image = Image.fromarray(np.eye(8, dtype=bool))
    np.testing.assert_array_equal(pixels_of(encoded(image, "PNG"))[..., 2], np.eye(8) * 255)


def test_cmyk_becomes_rgb():
    inks = Image.fromarray(255 - upright()).convert("RGB")
    cmyk = Image.merge("CMYK", (*inks.split(), Image.new("L", inks.size, 0)))
    np.testing.assert_array_equal(pixels_of(encoded(cmyk, "TIFF")), upright())
    found = pixels_of(encoded(cmyk, "JPEG", quality=95, subsampling=0))
    assert np.abs(found.astype(int) - upright()).mean() < 6


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_taken(form: str):
    first = Image.fromarray(upright())
    others = [Image.new("RGB", first.size, "blue"), Image.new("RGB", first.size, "white")]
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(first, form, save_all=True, append_images=others, **options)
    assert Image.open(io.BytesIO(content)).n_frames == 3
    assert np.abs(pixels_of(content).astype(int) - upright()).max() <= 2


def test_the_first_picture_of_an_mpo_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    first = Image.fromarray(np.ascontiguousarray(np.rot90(upright())))
    content = encoded(first, "MPO", save_all=True, append_images=[Image.new("RGB", first.size)], exif=exif, quality=95)
    found = read_picture(content)
    assert found.orientation == 6
    assert np.abs(found.pixels().astype(int) - upright()).mean() < 12


def test_a_colour_profile_leaves_the_values_alone():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    np.testing.assert_array_equal(pixels_of(encoded(Image.fromarray(upright()), "PNG", icc_profile=profile)), upright())


def test_one_pixel():
    np.testing.assert_array_equal(pixels_of(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")), [[[1, 2, 3]]])


def test_a_mask_keeps_its_values_and_nothing_else_is_a_mask():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    exif = Image.Exif()
    exif[0x0112] = 3
    content = encoded(Image.fromarray(values), "PNG", exif=exif.tobytes())
    np.testing.assert_array_equal(np.asarray(read_mask(content)), values)
    colour = encoded(Image.fromarray(upright()), "PNG")
    with pytest.raises(PictureError, match=r"^m\.png: expected a grey PNG of 8 bits, got PNG in mode RGB$"):
        read_mask(colour, name="m.png")
