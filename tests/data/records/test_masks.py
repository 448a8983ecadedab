"""Masks of records: from pixels and back, and those that do not fill their size."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.data.records import Mask, box_of, decode_masks, encode_mask
from occlusionformer.data.records.masks import is_empty
from occlusionformer.layout import rle


def test_masks_survive():
    mask_HW = np.zeros((4, 6), dtype=bool)
    mask_HW[1:3, 2:5] = True
    mask = encode_mask(mask_HW)
    assert mask == Mask(height=4, width=6, counts=rle.compress([9, 2, 2, 2, 2, 2, 5]))
    assert np.array_equal(decode_masks([mask])[0], mask_HW)
    assert box_of(mask) == (2, 1, 5, 3)
    assert not is_empty(mask)


def test_an_empty_mask_is_one_unset_run():
    mask = encode_mask(np.zeros((4, 6), dtype=bool))
    assert mask.counts == rle.compress([24])
    assert is_empty(mask)


def test_runs_that_do_not_fill_the_mask_are_not_decoded():
    with pytest.raises(ValueError, match=r"^expected runs that add up to 4 x 5 = 20, got 21$"):
        decode_masks([Mask(height=4, width=5, counts=rle.compress([3, 18]))])
