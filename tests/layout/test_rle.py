"""Run lengths against a mask walked pixel by pixel, and against strings of the reference encoder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import Box, LayoutError, RunLength, rle
from tests.layout.drawn import masks
from tests.tables import for_each

REFERENCE = [
    ("052LO0", ["11100", "11011"]),
    (";130a0", ["000000000", "000000000", "000000000", "001100000"]),
    ("4150000000L", ["00000", "00000", "00000", "00000", "11111", "00000"]),
    (
        "01132NNO002101OOOO0051KO",
        ["1001", "0110", "1010", "1110", "1000", "1000", "0010", "0111", "0101", "1010", "1001"],
    ),
]
"""Strings that pycocotools 2.0 gives for masks."""


def walked(mask: list[list[int]]) -> list[int]:
    """Run lengths by looking at every pixel, down the columns."""
    counts, value = [0], 0
    for column in range(len(mask[0])):
        for row in mask:
            if row[column] != value:
                counts.append(0)
                value = row[column]
            counts[-1] += 1
    return counts


@pytest.mark.parametrize(("text", "rows"), REFERENCE)
def test_strings_of_the_reference_encoder(text, rows):
    mask = [[int(pixel) for pixel in row] for row in rows]
    assert rle.compress(walked(mask)) == text
    assert RunLength(size=(len(mask), len(mask[0])), counts=text).rows() == mask


@given(masks())
def test_a_mask_survives_both_ways(mask):
    size = (len(mask), len(mask[0]))
    counts = walked(mask)
    assert rle.decompress(rle.compress(counts)) == counts
    assert RunLength(size=size, counts=counts).rows() == mask
    assert RunLength(size=size, counts=rle.compress(counts)).run_lengths() == tuple(counts)


@given(masks())
def test_runs_of_a_row_are_apart_and_in_order(mask):
    rows = RunLength(size=(len(mask), len(mask[0])), counts=walked(mask)).decode()
    for row, runs in zip(mask, rows, strict=True):
        assert sum(stop - start for start, stop in runs) == sum(row)
        borders = [border for run in runs for border in run]
        assert borders == sorted(set(borders))


@given(st.lists(st.integers(0, 2**32), max_size=20))
def test_any_run_lengths_survive_compression(counts):
    assert rle.decompress(rle.compress(counts)) == counts


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_text_is_read_or_refused(text):
    try:
        counts = rle.decompress(text)
    except ValueError:
        return
    assert rle.decompress(rle.compress(counts)) == counts


@given(masks())
def test_bounds_are_those_of_the_set_pixels(mask):
    height, width = len(mask), len(mask[0])
    rows = [row for row in range(height) if any(mask[row])]
    columns = [column for column in range(width) if any(row[column] for row in mask)]
    expected = Box(columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    assert RunLength(size=(height, width), counts=walked(mask)).bounds() == expected


def test_runs_of_no_pixels_are_read():
    assert RunLength(size=(2, 2), counts=[0, 1, 0, 1, 2]).rows() == [[1, 0], [1, 0]]


def test_a_large_mask_costs_its_runs_not_its_pixels():
    height, width = 60_000, 60_000
    mask = RunLength(size=(height, width), counts=[height, 3, height * width - height - 3])
    assert [runs for runs in mask.decode() if runs] == [((1, 2),)] * 3


@for_each(
    ("counts", "reason"),
    [
        ("05é", "expected a COCO compressed string: character 'é' at 2 is none of '0' to 'o', got '05é'"),
        ("05p", "expected a COCO compressed string: character 'p' at 2 is none of '0' to 'o', got '05p'"),
        ("05n", "expected a COCO compressed string: the last number is cut off, got '05n'"),
        (
            "o" * 9,
            "expected a COCO compressed string: the number that ends at character 8 is too long, got 'ooooooooo'",
        ),
        ("", "expected at least one set pixel, got none"),
        ([6], "expected at least one set pixel, got none"),
        ([0, 5], "expected runs that add up to 2 x 3 = 6, got 5"),
        ([-1, 7], "expected run lengths of at least 0, got -1"),
        ([1, 5.0], "expected whole numbers, got 5.0"),
        ([1, True, 4], "expected whole numbers, got true"),
        (7, "expected a COCO compressed string or a list of whole numbers, got 7"),
    ],
)
def test_wrong_run_lengths_are_refused(counts, reason):
    with pytest.raises(LayoutError) as caught:
        RunLength(size=(2, 3), counts=counts)
    assert caught.value.problems == [f"counts: {reason}"]


@pytest.mark.parametrize(
    "counts", [np.array([1, 5]), [np.int64(1), np.uint8(5)], b"15", (1, 5)], ids=["array", "numbers", "bytes", "tuple"]
)
def test_numbers_of_numpy_and_bytes_are_read(counts):
    """As `pycocotools.mask.encode` gives them, for instance."""
    mask = RunLength(size=np.array([2, 3], dtype=np.int32), counts=counts)
    assert mask.run_lengths() == (1, 5)
    assert mask == RunLength(size=(2, 3), counts="15" if isinstance(counts, bytes) else [1, 5])
    assert '"counts":' in mask.model_dump_json()


def test_a_wrong_size_and_wrong_counts_are_told_together():
    with pytest.raises(LayoutError) as caught:
        RunLength(size=(0, 70_000), counts="~")
    assert caught.value.problems == [
        "size[0]: expected at least 1, got 0",
        "size[1]: expected at most 65535, got 70000",
        "counts: expected a COCO compressed string: character '~' at 0 is none of '0' to 'o', got '~'",
    ]
