"""Run lengths as arrays: against pixels, against the plain decoder, and damaged ones refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlusionformer.data.records import Mask, box_of, decode_masks, encode_mask
from occlusionformer.data.records.masks import coco_mask, mask_box, run_lengths, shared_pixels
from occlusionformer.layout import rle

MASKS = (
    st.integers(0, 2**32)
    .map(lambda seed: np.random.default_rng(seed))
    .map(lambda rng: rng.random((rng.integers(1, 40), rng.integers(1, 40))) < rng.random())
)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_masks_survive(mask_HW):
    mask = encode_mask(mask_HW)
    assert np.array_equal(decode_masks([mask])[0], mask_HW)
    assert run_lengths(mask.counts).tolist() == rle.decompress(mask.counts)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_boxes_are_those_of_the_pixels(mask_HW):
    if mask_HW.any():
        rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
        assert box_of(encode_mask(mask_HW)) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**30), min_size=1, max_size=60))
def test_run_lengths_agree_with_the_plain_decoder(counts):
    assert run_lengths(rle.compress(counts)).tolist() == counts


@settings(max_examples=60, deadline=None)
@given(MASKS, st.integers(0, 2**32))
def test_shared_pixels_are_counted(mask_HW, seed):
    other_HW = np.random.default_rng(seed).random(mask_HW.shape) < 0.5
    first, second = (run_lengths(encode_mask(each).counts) for each in (mask_HW, other_HW))
    assert shared_pixels(first, second) == np.count_nonzero(mask_HW & other_HW)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_damaged_text_is_refused_like_the_plain_decoder(text):
    assert _decoded(run_lengths, text) == _decoded(rle.decompress, text)


def _decoded(decode, text: str) -> list[int] | str:
    try:
        return list(decode(text))
    except ValueError:
        return "refused"


def test_runs_that_do_not_fill_the_mask_are_not_decoded():
    with pytest.raises(ValueError, match=r"^expected runs that add up to 4 x 5, got 21$"):
        decode_masks([Mask(height=4, width=5, counts=rle.compress([3, 18]))])


def test_boxes_of_runs_over_several_columns_reach_from_top_to_bottom():
    assert mask_box(np.array([6, 5, 9]), 5) == (1.0, 0.0, 3.0, 5.0)


@pytest.mark.parametrize(
    "shape",
    [
        {"size": [4, 6], "counts": [4, 8, 12]},
        {"size": [4, 6], "counts": rle.compress([4, 8, 12])},
        [[1, 0, 3, 0, 3, 4, 1, 4]],
        [1, 0, 3, 0, 3, 4, 1, 4],
        [[1, 0, 2, 0, 2, 4, 1, 4], [2, 0, 3, 0, 3, 4, 2, 4]],
    ],
)
def test_shapes_of_coco_files(shape):
    expected_HW = np.zeros((4, 6), dtype=bool)
    expected_HW[:, 1:3] = True
    assert np.array_equal(decode_masks([coco_mask(shape, 4, 6)])[0], expected_HW)


@pytest.mark.parametrize("shape", [[], [[1, 2, 3]], [[1, 2, 3, 4, 5]], "x", {"counts": None}, [["a"] * 6], 3])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected polygons"):
        coco_mask(shape, 4, 6)
