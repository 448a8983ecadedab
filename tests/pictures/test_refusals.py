"""Files that are no pictures, or are too much, are refused by name before they cost anything."""

from __future__ import annotations

import os
import pickle
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.pictures import (
    LIMITS,
    PictureError,
    PictureLimits,
    file_bytes,
    find_picture,
    pictures_in,
    read_picture,
)
from tests.pictures.files import encoded, huge_png, turned, upright
from tests.tables import for_each


def problem_of(source: Path | bytes, **options) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(source, **options)
    return str(caught.value)


def test_what_is_no_file(tmp_path: Path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    assert problem_of(tmp_path / "none.jpg") == "none.jpg: no such file"
    assert problem_of(tmp_path / "folder.jpg") == "folder.jpg: expected a file, got a folder"
    assert problem_of(tmp_path / "empty.png") == "empty.png: expected a picture, got an empty file"
    assert problem_of(tmp_path / "pipe.png") == "pipe.png: expected a file, got something else"
    assert problem_of(b"", name="row 3") == "row 3: expected a picture, got an empty file"


def test_foreign_files():
    expected = "expected a PNG, JPEG, WebP, GIF, BMP or TIFF file, got one that starts with"
    assert problem_of(b"%!PS-Adobe-3.0 EPSF-3.0\n", name="a.jpg") == f"a.jpg: {expected} b'%!PS-Ado'"
    assert problem_of(b"{}", name="b.png") == f"b.png: {expected} b'{{}}'"
    assert problem_of(b"RIFF\x04\0\0\0AVI ", name="c.webp").startswith("c.webp: expected a whole WebP file: ")


@for_each("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_files_cut_anywhere_are_refused(form: str):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    content = encoded(noise, form)
    for share in (0.001, 0.01, 0.1, 0.5, 0.9):
        text = problem_of(content[: max(3, int(len(content) * share))], name="cut")
        assert text.startswith("cut: expected a ")


@for_each("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damaged_files_are_read_or_refused_and_nothing_else(form: str):
    rng = np.random.default_rng(5)
    content = np.frombuffer(encoded(Image.fromarray(upright(48, 32)), form), np.uint8)
    outcomes = set()
    for _ in range(150):
        damaged = content.copy()
        damaged[rng.integers(3, len(damaged), rng.integers(1, 8))] = rng.integers(0, 256)
        try:
            read_picture(damaged.tobytes(), limits=PictureLimits(pixels=10_000))
            outcomes.add("read")
        except PictureError as error:
            outcomes.add(str(error)[:18])
    assert outcomes <= {"read", "picture: expected "}
    assert len(outcomes) == 2 or form == "BMP"


def test_large_pictures_are_refused_before_they_are_decoded(tmp_path: Path):
    path = tmp_path / "bomb.png"
    path.write_bytes(huge_png(13000, 13000))
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert problem_of(path) == "bomb.png: expected at most 33,554,432 pixels, got 13000 x 13000"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size < 100_000
    assert peak < 2**20


def test_a_wide_picture_counts_its_pixels():
    content = huge_png(60_000, 2)
    assert read_picture(content).image.size == (60_000, 2)
    assert problem_of(content, limits=PictureLimits(pixels=119_999)) == (
        "picture: expected at most 119,999 pixels, got 60000 x 2"
    )


def test_a_large_file_is_not_read(tmp_path: Path):
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(LIMITS.bytes + 1)
    expected = "large.jpg: expected a file of at most 134,217,728 bytes, got 134,217,729"
    assert problem_of(path) == expected
    with pytest.raises(PictureError) as caught:
        file_bytes(path)
    assert str(caught.value) == expected


def test_a_size_that_is_said_wrongly_names_the_orientation():
    plain = read_picture(encoded(Image.fromarray(upright()), "PNG"), name="p.png")
    side = read_picture(turned(upright(), 6, "PNG"), name="s.png")
    side.check_size(24, 16)
    with pytest.raises(PictureError, match=r"^p\.png: expected 16 x 24 pixels, got 24 x 16$"):
        plain.check_size(16, 24)
    with pytest.raises(PictureError) as caught:
        side.check_size(16, 24)
    assert str(caught.value) == (
        "s.png: expected 16 x 24 pixels, got 24 x 16; "
        "EXIF orientation 6 turns this picture: annotations belong to the upright one"
    )


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(PictureError("a.png", "no such file")))
    assert (str(error), error.name, error.problem) == ("a.png: no such file", "a.png", "no such file")


def test_endings_in_capitals_are_found_and_hidden_files_are_not(tmp_path: Path):
    for name in ("A.JPG", "b.png", "b.webp", "._b.png", ".c.png", "d.txt"):
        (tmp_path / name).touch()
    found = {stem: [path.name for path in paths] for stem, paths in pictures_in(tmp_path).items()}
    assert found == {"A": ["A.JPG"], "b": ["b.png", "b.webp"]}
    assert find_picture(tmp_path, "A.jpg") == tmp_path / "A.JPG"
    assert find_picture(tmp_path, "b.png") == tmp_path / "b.png"
    assert find_picture(tmp_path, "b.jpg") is None
