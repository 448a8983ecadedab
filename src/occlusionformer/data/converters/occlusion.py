"""Who hides whom, read off visible and amodal masks.

Arrays: H rows, W columns, N instances.
"""

from __future__ import annotations

import numpy as np

from occlusionformer.data.records.masks import decode_masks
from occlusionformer.data.records.record import APART, OCCLUDES, Mask, Matrix


def order_of_masks(visible: list[Mask], amodal: list[Mask]) -> Matrix:
    """The order of pairs whose visible masks border on each other.

    i hides part of j where as much of i is seen inside all of j as the other way round, or more, and anything at all.
    This is how InstaOrder reads the order off KINS.
    """
    visible_NHW, amodal_NHW = decode_masks(visible), decode_masks(amodal)
    count = len(visible)
    seen_inside_NN = np.zeros((count, count), dtype=np.int64)
    borders_NN = np.zeros((count, count), dtype=bool)
    for first in range(count):
        grown_HW = _grown(visible_NHW[first])
        for second in range(count):
            if first != second:
                seen_inside_NN[first, second] = np.count_nonzero(visible_NHW[first] & amodal_NHW[second])
                borders_NN[first, second] = bool((grown_HW & visible_NHW[second]).any())
    hides_NN = borders_NN & (seen_inside_NN >= seen_inside_NN.T) & (seen_inside_NN > 0)
    return tuple(map(tuple, np.where(hides_NN, OCCLUDES, APART).tolist()))


def _grown(mask_HW: np.ndarray) -> np.ndarray:
    """With the four neighbours of every set pixel."""
    grown_HW = mask_HW.copy()
    grown_HW[1:] |= mask_HW[:-1]
    grown_HW[:-1] |= mask_HW[1:]
    grown_HW[:, 1:] |= mask_HW[:, :-1]
    grown_HW[:, :-1] |= mask_HW[:, 1:]
    return grown_HW
