"""Run lengths as arrays: against pixels one by one, against the plain decoder, and damaged ones refused."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import rle
from occlusionformer.tensors.runs import (
    box_of_runs,
    checked_runs,
    compressed,
    coverage_of_runs,
    do_border,
    mask_of_runs,
    resized_runs,
    run_lengths,
    runs_of_mask,
    runs_of_ranges,
    set_ranges,
    shared_pixels,
)
from tests.clock import bounded
from tests.properties import examples
from tests.reference import regions
from tests.tables import for_each

SEEDS = st.integers(0, 2**32).map(np.random.default_rng)


def drawn(rng: np.random.Generator, size: tuple[int, int] | None = None) -> np.ndarray:
    """A mask, from empty to full."""
    return rng.random(size or tuple(rng.integers(1, 40, 2))) < rng.random()


@examples(60)
@given(SEEDS)
def test_masks_survive(rng):
    mask_HW = drawn(rng)
    runs_R = runs_of_mask(mask_HW)
    assert np.array_equal(mask_of_runs(runs_R, *mask_HW.shape), mask_HW)
    assert compressed(runs_R) == rle.compress(runs_R.tolist())
    assert run_lengths(compressed(runs_R)).tolist() == runs_R.tolist() == rle.decompress(compressed(runs_R))
    assert runs_of_ranges(*set_ranges(runs_R), mask_HW.size).tolist() == runs_R.tolist()


@examples(60)
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=60))
def test_numbers_survive_as_the_plain_encoder_writes_them(counts):
    assert compressed(counts) == rle.compress(counts)
    assert run_lengths(rle.compress(counts)).tolist() == counts


@examples(60)
@given(SEEDS)
def test_boxes_are_those_of_the_pixels(rng):
    mask_HW = drawn(rng)
    if mask_HW.any():
        rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
        expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert box_of_runs(runs_of_mask(mask_HW), len(mask_HW)) == expected


def test_boxes_of_runs_over_several_columns_reach_from_top_to_bottom():
    assert box_of_runs(np.array([6, 5, 9]), 5) == (1.0, 0.0, 3.0, 5.0)


@examples(100)
@given(SEEDS)
def test_shared_pixels_and_borders_are_those_of_the_pixels(rng):
    first_HW = drawn(rng) & (rng.random() < 0.9)
    second_HW = drawn(rng, first_HW.shape) & drawn(rng, first_HW.shape) & drawn(rng, first_HW.shape)
    first_R, second_R = runs_of_mask(first_HW), runs_of_mask(second_HW)
    assert shared_pixels(first_R, second_R) == np.count_nonzero(first_HW & second_HW)
    grown_HW = first_HW.copy()
    grown_HW[1:] |= first_HW[:-1]
    grown_HW[:-1] |= first_HW[1:]
    grown_HW[:, 1:] |= first_HW[:, :-1]
    grown_HW[:, :-1] |= first_HW[:, 1:]
    assert do_border(first_R, second_R, len(first_HW)) == np.any(grown_HW & second_HW)


@examples(60)
@given(SEEDS)
def test_a_mask_of_another_size_has_the_pixels_under_the_middles(rng):
    mask_HW, new = drawn(rng), tuple(map(int, rng.integers(1, 60, 2)))
    rows, columns = (
        [int(Fraction(2 * place + 1, 2) * old / count) for place in range(count)]
        for old, count in zip(mask_HW.shape, new, strict=True)
    )
    found_R = resized_runs(runs_of_mask(mask_HW), mask_HW.shape, new)
    assert np.array_equal(mask_of_runs(found_R, *new), mask_HW[np.ix_(rows, columns)])


@examples(60)
@given(SEEDS)
def test_coverage_is_the_twins_to_the_last_bit(rng):
    mask_HW, cells = drawn(rng, tuple(rng.integers(1, 9, 2))), tuple(map(int, rng.integers(1, 7, 2)))
    runs_R = runs_of_mask(mask_HW)
    twin = regions.run_coverage(runs_R.tolist(), mask_HW.shape, cells)
    assert coverage_of_runs(runs_R, mask_HW.shape, cells).tolist() == [[float(share) for share in row] for row in twin]


def test_the_largest_mask_costs_no_more_than_its_runs():
    """One pixel is missing of 65,535 x 65,535."""
    side = 65_535
    tracemalloc.start()
    with bounded(0.2):
        shares = coverage_of_runs(np.array([1, side * side - 1]), (side, side), (8, 8))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shares[0, 0] == float(1 - Fraction(64, side * side)) < 1
    assert (shares.ravel()[1:] == 1).all()
    assert peak < 2**20


def test_many_runs_are_summed_piece_by_piece():
    """More ends than are looked at together."""
    rng = np.random.default_rng(0)
    mask_HW = rng.random((1200, 1000)) < 0.5
    runs_R = runs_of_mask(mask_HW)
    assert len(runs_R) > 2**19
    cells_hw = mask_HW.reshape(6, 200, 5, 200).mean(axis=(1, 3))
    np.testing.assert_allclose(coverage_of_runs(runs_R, mask_HW.shape, (6, 5)), cells_hw, rtol=1e-15)


@examples(150)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_damaged_text_is_refused_like_the_plain_decoder(text):
    def read(decode):
        try:
            return list(decode(text))
        except ValueError as error:
            return str(error).removeprefix("expected a COCO compressed string: ").partition(", got ")[0]

    assert read(run_lengths) == read(rle.decompress)


@for_each(
    "counts", [[1, 5], (1, 5), np.array([1, 5], dtype=np.uint16), [np.int64(1), np.int32(5)], "15", b"15"], ids=repr
)
def test_every_form_of_run_lengths_is_read(counts):
    assert checked_runs(counts, 2, 3).tolist() == [1, 5]


@for_each(
    ("counts", "message"),
    [
        ([10, 20, 30], "expected runs that add up to 2 x 3 = 6, got 60"),
        ([-1, 7], "expected run lengths of at least 0, got -1"),
        ([1.0, 5.0], "expected whole numbers, got 1.0"),
        ([True, 5], "expected whole numbers, got true"),
        (np.array([1.0, 5.0]), "expected a COCO compressed string or a list of whole numbers, got array([1., 5.])"),
        ([2**63, 5], "expected run lengths of at most 4294836225, got 9223372036854775808"),
        ([2**62] * 4, "expected runs that add up to 2 x 3 = 6, got 18446744073709551616"),
        ([[1, 5]], "expected whole numbers, got [1, 5]"),
        ({}, "expected a COCO compressed string or a list of whole numbers, got an empty object"),
        (None, "expected a COCO compressed string or a list of whole numbers, got null"),
        (
            "b'15'",
            "expected a COCO compressed string: it is how Python shows bytes, with b and quotation marks around the "
            "string, got \"b'15'\"",
        ),
        ("15p", "expected a COCO compressed string: character 'p' at 2 is none of '0' to 'o', got '15p'"),
        ("1é", "expected a COCO compressed string: character 'é' at 1 is none of '0' to 'o', got '1é'"),
        ("15n", "expected a COCO compressed string: the last number is cut off, got '15n'"),
        ("", "expected runs that add up to 2 x 3 = 6, got 0"),
    ],
)
def test_the_reason_is_the_true_one(counts, message):
    with pytest.raises(ValueError, match="expected") as caught:
        checked_runs(counts, 2, 3)
    assert str(caught.value) == message
