"""Records in PNG files: found wherever they are, and every file that is foreign, cut or enormous refused by name."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from occlusionformer.generation import ProvenanceError, read_provenance
from occlusionformer.generation.png_text import PNG_KEY, PngError, png_text
from tests.clock import bounded
from tests.generation.png_cases import RECORD, Case, cases, chunk, plain, png
from tests.tables import for_each

EVERY_CASE = for_each("case", [pytest.param(case, id=case.name) for case in cases()])


@EVERY_CASE
def test_every_case_of_the_table(case: Case):
    if case.problem is None:
        assert png_text(io.BytesIO(case.content)) == case.text
    else:
        with pytest.raises(PngError) as caught:
            png_text(io.BytesIO(case.content))
        assert str(caught.value) == case.problem


@EVERY_CASE
def test_a_pipe_gives_the_same(case: Case):
    pipe = io.BufferedReader(Unseekable(case.content))
    if case.problem is None:
        assert png_text(pipe) == case.text
    else:
        with pytest.raises(PngError) as caught:
            png_text(pipe)
        assert str(caught.value) == case.problem


class Unseekable(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self.rest = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer) -> int:
        return self.rest.readinto(buffer)


def test_the_cases_have_names_of_their_own_and_say_one_thing_each():
    every = list(cases())
    assert len({case.name for case in every}) == len(every) > 50
    assert not [case.name for case in every if case.text is not None and case.problem is not None]


def test_what_pillow_writes_in_every_way():
    for add in (
        lambda info: info.add_text(PNG_KEY, RECORD),
        lambda info: info.add_text(PNG_KEY, RECORD, zip=True),
        lambda info: info.add_itxt(PNG_KEY, RECORD, "en", "record"),
        lambda info: info.add_itxt(PNG_KEY, RECORD, zip=True),
    ):
        info, encoded = PngInfo(), io.BytesIO()
        add(info)
        Image.new("RGB", (8, 8)).save(encoded, format="PNG", pnginfo=info)
        assert png_text(io.BytesIO(encoded.getvalue())) == RECORD


def test_pixels_cost_nothing_and_packed_records_no_more_than_the_limit(tmp_path: Path):
    with (tmp_path / "large.png").open("wb") as file:
        head = png(plain(), end=b"")
        file.write(head)
        file.write(struct.pack(">I", 2**31 - 1) + b"IDAT")
        file.truncate(len(head) + 8 + 2**31 - 1 + 4)
        file.seek(0, 2)
        file.write(chunk(b"IEND", b""))
    tracemalloc.start()
    with bounded(2):
        with (tmp_path / "large.png").open("rb") as file:
            assert png_text(file) == RECORD
        with pytest.raises(PngError, match="expected a record of at most 32 MB, got more"):
            png_text(io.BytesIO(next(case.content for case in cases() if case.name == "zTXt that unpacks to too much")))
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()


@for_each(
    ("text", "problem"),
    [
        ("nonsense", "occlusionformer: line 1, column 1: not JSON: expecting value"),
        ("[" * 1000 + "]" * 1000, "levels of objects and lists inside each other"),
        ("[]", "expected an object, got []"),
        ('{"format": 1, "format": 1}', "occlusionformer: expected every field once, got 'format' again"),
        ('{"seed": NaN}', "seed: expected a finite number, got nan"),
        (
            '{"seed": ' + "9" * 5000 + "}",
            "seed: expected numbers of at most 20 digits, got one of 5000",
        ),
        ('{"model": "' + "x" * (2**20 + 1) + '"}', "expected texts of at most 1048576 characters, got one of 1048577"),
        ("[" + "0," * 3_000_000 + "0]", "expected a document of at most 3000000 values, got about 3000001"),
    ],
)
def test_records_are_bounded_as_documents_are(text: str, problem: str, tmp_path: Path):
    (tmp_path / "picture.png").write_bytes(png(plain(text)))
    with pytest.raises(ProvenanceError) as caught:
        read_provenance(tmp_path / "picture.png")
    assert problem in caught.value.problems[0]
