"""Who touches whom, against a search over all pairs of pixels."""

from __future__ import annotations

import numpy as np

from occlusionformer.data.engine.contacts import grown, touching_pairs
from occlusionformer.data.engine.models.hulls import filled_hull
from tests.data.engine.pictures import rectangle
from tests.tables import for_each


@for_each("seed", range(20))
def test_masks_touch_when_some_pixels_are_within_reach(seed: int):
    rng = np.random.default_rng(seed)
    reach = int(rng.integers(1, 4))
    masks = [rng.random((14, 17)) < 0.02 for _ in range(5)]
    for mask in masks:
        mask[rng.integers(14), rng.integers(17)] = True
    places = [np.argwhere(mask) for mask in masks]
    expected = {
        (i, j)
        for i in range(5)
        for j in range(i + 1, 5)
        if (np.abs(places[i][:, None] - places[j][None]).max(axis=2) <= reach).any()
    }
    assert {tuple(pair) for pair in touching_pairs(masks, reach=reach).tolist()} == expected


def test_a_mask_grows_to_a_square():
    np.testing.assert_array_equal(grown(rectangle(5, 6, 8, 9), 2), rectangle(3, 4, 10, 11))
    np.testing.assert_array_equal(grown(rectangle(0, 0, 1, 32), 1), rectangle(0, 0, 2, 32))


def test_hulls_are_convex_and_hold_the_mask():
    corner = rectangle(4, 4, 24, 8) | rectangle(4, 4, 8, 24)
    hull = filled_hull(corner)
    assert (hull & corner).sum() == corner.sum()
    assert hull[12, 12]
    assert not hull[22, 22]
    np.testing.assert_array_equal(filled_hull(rectangle(3, 4, 9, 20)), rectangle(3, 4, 9, 20))
    dot = rectangle(3, 3, 4, 4)
    np.testing.assert_array_equal(filled_hull(dot), dot)
