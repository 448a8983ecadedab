from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlusionformer.evaluation.metrics.regions import Runs, mask_iou, mask_overlaps, resized, touching
from occlusionformer.layout import RunLength
from occlusionformer.layout.rle import compress

sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))


def encode(mask, compressed=True):
    flat = np.r_[0, mask.T.ravel().astype(int), -1]
    ends = np.flatnonzero(np.diff(flat[1:]))
    counts = np.diff(np.r_[-1, ends]).tolist()
    counts = [0, *counts] if mask.T.ravel()[0] else counts
    return {"size": list(mask.shape), "counts": compress(counts) if compressed else counts}


@st.composite
def two_masks(draw):
    size = draw(sizes)
    return draw(arrays(bool, size)), draw(arrays(bool, size))


@given(two_masks(), st.booleans())
def test_agrees_with_pixels(masks, compressed):
    first, second = masks
    common, union = (first & second).sum(), (first | second).sum()
    a, b = encode(first, compressed), encode(second, compressed)
    assert Runs(a).area == first.sum()
    assert Runs(a).common(Runs(b)) == common
    assert mask_iou(a, b) == (common / union if union else 0)


def test_empty_masks_overlap_nothing():
    mask = encode(np.ones((2, 2), bool))
    assert mask_iou(mask, None) == mask_iou(None, mask) == mask_iou(None, None) == 0
    assert mask_iou(mask, RunLength(size=(2, 2), counts=[0, 4])) == 1


def test_an_empty_true_mask_counts_zero_unless_it_is_left_out():
    mask, half = encode(np.ones((2, 2), bool)), encode(np.array([[True, True], [False, False]]))
    assert mask_overlaps([half, None, mask], [mask, mask, None]) == (0.5, 3)
    assert mask_overlaps([half, None, mask], [mask, mask, None], counts_empty=False) == (0.5, 2)
    assert mask_overlaps([None], [None]) == (0, 1)


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match="expected runs that add up to 2 x 2 = 4, got 3"):
        Runs({"size": [2, 2], "counts": [1, 2]})
    with pytest.raises(ValueError, match="expected masks of one size"):
        mask_iou(encode(np.ones((2, 2), bool)), encode(np.ones((2, 3), bool)))


def test_masks_touch_across_an_edge_but_not_across_a_corner():
    masks = np.zeros((4, 4, 4), bool)
    masks[0, 0, 0] = masks[1, 0, 1] = masks[2, 1, 1] = masks[3, 3, 3] = True
    expected = np.zeros((4, 4), bool)
    expected[0, 1] = expected[1, 0] = expected[1, 2] = expected[2, 1] = True
    assert (touching(masks) == expected).all()


@given(two_masks(), st.integers(1, 9), st.integers(1, 9))
def test_resized_takes_the_pixel_under_the_middle(masks, height, width):
    mask = masks[0]
    down = [(2 * row + 1) * mask.shape[0] // (2 * height) for row in range(height)]
    across = [(2 * column + 1) * mask.shape[1] // (2 * width) for column in range(width)]
    expected = mask[np.ix_(down, across)]
    found = resized(encode(mask), height, width)
    if not expected.any():
        assert found is None
    else:
        assert found == encode(expected)
        assert RunLength.model_validate(found).rows() == expected.astype(int).tolist()
