"""Derives the occlusion order from visible and amodal masks.

Arrays: R runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from occlusionformer.data.records.masks import mask_runs
from occlusionformer.data.records.record import APART, OCCLUDES, Mask, Matrix
from occlusionformer.tensors.runs import box_of_runs, do_border, shared_pixels


def order_of_masks(visible: Sequence[Mask], amodal: Sequence[Mask]) -> Matrix:
    """The order of pairs whose visible masks border on each other; costs runs, whatever the size of the picture.

    i hides part of j where as much of i is seen inside all of j as the other way round, or more, and anything at all.
    This is how InstaOrder reads the order off KINS. An instance of which nothing is seen borders on nobody: all that
    is seen inside of it hides it.
    """
    seen, whole = [mask_runs(mask) for mask in visible], [mask_runs(mask) for mask in amodal]
    boxes = [box_of_runs(runs_R, amodal[0].height) for runs_R in whole]
    order = [[APART] * len(seen) for _ in seen]
    for first, box in enumerate(boxes):
        for second in range(first):
            if _is_near(box, boxes[second]) and _is_related(seen[first], seen[second], amodal[0].height):
                ahead, back = shared_pixels(seen[first], whole[second]), shared_pixels(seen[second], whole[first])
                order[first][second] = OCCLUDES if ahead and ahead >= back else APART
                order[second][first] = OCCLUDES if back and back >= ahead else APART
    return tuple(map(tuple, order))


def _is_near(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(box[axis] <= other[axis + 2] and other[axis] <= box[axis + 2] for axis in (0, 1))


def _is_related(seen_R: np.ndarray, other_R: np.ndarray, height: int) -> bool:
    hidden = not seen_R[1::2].any() or not other_R[1::2].any()
    return hidden or do_border(seen_R, other_R, height)
