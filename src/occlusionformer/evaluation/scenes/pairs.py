"""Who is in front, told from the picture: of two objects over each other, the one whose colours are seen.

Arrays: H rows, W columns, C colour channels, N instances.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from occlusionformer.evaluation.scenes.explain import cost
from occlusionformer.evaluation.scenes.fitting import Fitted

SOLID = 0.5
"""Opacity from which an object hides what is behind it."""
LEAST_PIXELS = 8
"""Fewer common pixels are the inaccuracy of two fits rather than an overlap."""
LEAST_SHARE = 0.02
"""The same as a share of the smaller object."""
LEAST_EVIDENCE = 0.5
"""Difference of the two explanations, in pixels, below which nothing is decided."""


def judged_order(picture_HWC: np.ndarray, objects: Sequence[Fitted | None]) -> np.ndarray:
    """(N, N): 1 where the object of the row is seen in front of that of the column; None is an absent object."""
    order_NN = np.zeros((len(objects), len(objects)), dtype=int)
    sheets = [None if one is None else _Sheet(one, picture_HWC) for one in objects]
    for first, sheet in enumerate(sheets):
        for second, other in enumerate(sheets[:first]):
            if sheet is None or other is None:
                continue
            thirds = [one for place, one in enumerate(sheets) if one is not None and place not in (first, second)]
            evidence = _evidence(picture_HWC, sheet, other, thirds)
            if evidence > LEAST_EVIDENCE:
                order_NN[first, second] = 1
            elif evidence < -LEAST_EVIDENCE:
                order_NN[second, first] = 1
    return order_NN


class _Sheet:
    """A fitted object on the whole canvas."""

    def __init__(self, one: Fitted, picture_HWC: np.ndarray) -> None:
        window = one.found.place.window
        self.colour = np.zeros_like(picture_HWC)
        self.alpha = np.zeros(picture_HWC.shape[:2], dtype=np.float32)
        self.cost = np.ones(picture_HWC.shape[:2], dtype=np.float32)
        self.colour[window], self.alpha[window], self.cost[window] = one.shown.colour, one.shown.alpha, one.cost
        self.solid = self.alpha > SOLID


def _evidence(picture_HWC: np.ndarray, first: _Sheet, second: _Sheet, thirds: Sequence[_Sheet]) -> float:
    """How much better the picture fits with the first over the second than the reverse, in pixels."""
    common_HW = first.solid & second.solid
    least = max(LEAST_PIXELS, LEAST_SHARE * min(first.solid.sum(), second.solid.sum()))
    if common_HW.sum() < least:
        return 0.0
    seen_PC = picture_HWC[common_HW]
    over_P = cost(seen_PC, _over(first, second, common_HW))
    under_P = cost(seen_PC, _over(second, first, common_HW))
    open_P = np.ones(len(over_P), dtype=bool)
    for third in thirds:
        open_P &= third.cost[common_HW] >= np.minimum(over_P, under_P)
    return float((under_P - over_P)[open_P].sum())


def _over(front: _Sheet, back: _Sheet, common_HW: np.ndarray) -> np.ndarray:
    alpha_P1 = front.alpha[common_HW][:, None]
    return alpha_P1 * front.colour[common_HW] + (1 - alpha_P1) * back.colour[common_HW]
