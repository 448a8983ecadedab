"""Who is in front, told from the picture: of two objects over each other, the one whose colours are seen.

Arrays: H rows, W columns, C colour channels, N instances, P pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from occlusionformer.evaluation.scenes.canvas import SOLID, Canvas, Fitted
from occlusionformer.evaluation.scenes.explain import cost
from occlusionformer.evaluation.scenes.search import Place

LEAST_OVERLAP = 1 / 2048
"""Fewer common pixels, as a share of the picture, are the inaccuracy of two fits rather than an overlap."""
LEAST_SHARE = 0.02
"""The same as a share of the smaller object."""
LEAST_EVIDENCE = 1 / 32768
"""Difference of the two explanations, in pixels as a share of the picture, below which nothing is decided."""


def judged_order(canvas: Canvas, objects: Sequence[Fitted | None]) -> np.ndarray:
    """(N, N): 1 where the object of the row is seen in front of that of the column; None is an absent object."""
    order_NN = np.zeros((len(objects), len(objects)), dtype=int)
    area = math.prod(canvas.shape)
    present = [(place, one) for place, one in enumerate(objects) if one is not None]
    for first, one in present:
        for second, other in present:
            if second >= first:
                break
            thirds = [third for place, third in present if place not in (first, second)]
            evidence = _evidence(canvas, one, other, thirds)
            if evidence > LEAST_EVIDENCE * area:
                order_NN[first, second] = 1
            elif evidence < -LEAST_EVIDENCE * area:
                order_NN[second, first] = 1
    return order_NN


def _evidence(canvas: Canvas, first: Fitted, second: Fitted, thirds: Sequence[Fitted]) -> float:
    """How much better the picture fits with the first over the second than the reverse, in pixels."""
    common = _common(first.found.place, second.found.place)
    if common is None:
        return 0.0
    alpha_1HW, alpha_2HW = first.shown.alpha[_inside(first, common)], second.shown.alpha[_inside(second, common)]
    common_HW = (alpha_1HW > SOLID) & (alpha_2HW > SOLID)
    smaller = min((first.shown.alpha > SOLID).sum(), (second.shown.alpha > SOLID).sum())
    if common_HW.sum() < max(LEAST_OVERLAP * math.prod(canvas.shape), LEAST_SHARE * smaller):
        return 0.0
    seen_PC = canvas.picture[common.window][common_HW]
    colour_1PC = first.shown.colour[_inside(first, common)][common_HW]
    colour_2PC = second.shown.colour[_inside(second, common)][common_HW]
    alpha_1P1, alpha_2P1 = alpha_1HW[common_HW][:, None], alpha_2HW[common_HW][:, None]
    over_P = cost(seen_PC, canvas.showable(alpha_1P1 * colour_1PC + (1 - alpha_1P1) * colour_2PC))
    under_P = cost(seen_PC, canvas.showable(alpha_2P1 * colour_2PC + (1 - alpha_2P1) * colour_1PC))
    open_P = np.minimum(over_P, under_P) <= _cost_of_thirds(thirds, common)[common_HW]
    return float((under_P - over_P)[open_P].sum())


def _cost_of_thirds(thirds: Sequence[Fitted], common: Place) -> np.ndarray:
    """(H, W) of a place: what its pixels cost if the best fitting of some objects is seen there; 1 where none is."""
    cost_HW = np.ones((common.height, common.width), dtype=np.float32)
    for third in thirds:
        shared = _common(third.found.place, common)
        if shared is not None:
            here = (
                slice(shared.top - common.top, shared.top - common.top + shared.height),
                slice(shared.left - common.left, shared.left - common.left + shared.width),
            )
            np.minimum(cost_HW[here], third.cost[_inside(third, shared)], out=cost_HW[here])
    return cost_HW


def _common(first: Place, second: Place) -> Place | None:
    """The pixels of both places; None where they have none."""
    left, top = max(first.left, second.left), max(first.top, second.top)
    right = min(first.left + first.width, second.left + second.width)
    bottom = min(first.top + first.height, second.top + second.height)
    return Place(left, top, right - left, bottom - top) if left < right and top < bottom else None


def _inside(one: Fitted, place: Place) -> tuple[slice, slice]:
    """Rows and columns of an object's own window that a place within it has."""
    top, left = place.top - one.found.place.top, place.left - one.found.place.left
    return slice(top, top + place.height), slice(left, left + place.width)
