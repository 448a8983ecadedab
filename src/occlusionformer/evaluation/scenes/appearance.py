"""What a person would say of a picture beside what is where: background, clutter, whole objects, sharp ones, light.

Objects are expected where they were found, in the order that was seen; the declared background around them.

Arrays: H rows, W columns, C colour channels, N instances, P pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from occlusionformer.evaluation.scenes.blocks import blockiness
from occlusionformer.evaluation.scenes.canvas import SOLID, Canvas, Fitted
from occlusionformer.evaluation.scenes.explain import BLUR
from occlusionformer.evaluation.scenes.ground import frequent_colour

MARGIN = 1 / 64
"""Width of the rim around objects that belongs neither to them nor to the background, as a share of the root of the
picture's area."""
UNLIKE = 0.15
"""Distance of colours (0..1 per channel, three channels) from which a pixel of the background shows something else."""
TRACE = 0.02
"""Opacity from which a pixel may owe its colour to an object."""
RIM = 2
"""Pixels at the edge of an object, or of what hides it, that tell nothing of what is within."""
LEAST_PIXELS = 1 / 1024
"""Share of the picture that a figure needs to be taken over."""


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """One picture; None for what cannot be told."""

    background: float | None
    """Mean absolute difference, 0..1, from the declared background outside all objects. 0 is best."""
    clutter: float | None
    """Share of the pixels outside all objects that look unlike the declared background, whose colour may be off all
    over. 0 is best."""
    sharpness: float | None
    """Energy of the gradients within the objects, as a share of what they should have. 1 is best; less is blurred, more
    is noisy."""
    blockiness: float
    """0..1: how far the edges of the picture lie on a grid, more than they should. 0 is best."""
    lighting: float
    """Mean absolute change of colours, 0..1, that is put down to light. 0 is as declared."""


def appearance_of(
    canvas: Canvas,
    objects: Sequence[Fitted | None],
    order_NN: np.ndarray,
    *,
    picture_HWC: np.ndarray,
    background_HWC: np.ndarray | None,
) -> tuple[Appearance, list[float | None]]:
    """The figures of a picture, and how complete each object is.

    picture_HWC, background_HWC: not blurred, of the canvas's shape. Objects that are None are absent.
    """
    present = [(place, one) for place, one in enumerate(objects) if one is not None]
    expected_HWC = _painted(canvas, objects, order_NN, background_HWC)
    shown_HWC = canvas.lighting.undone(picture_HWC)
    margin = max(1, round(MARGIN * math.sqrt(math.prod(canvas.shape))))
    around_HW = ~_grown(_union(canvas, [one for _, one in present], TRACE), margin)
    found = Appearance(
        background=_background(picture_HWC, background_HWC, around_HW),
        clutter=_clutter(canvas, around_HW),
        sharpness=_sharpness(canvas, objects, order_NN),
        blockiness=blockiness(shown_HWC, expected_HWC),
        lighting=float(np.abs(canvas.lighting.on(expected_HWC) - np.clip(expected_HWC, 0, 1)).mean()),
    )
    complete: list[float | None] = [None] * len(objects)
    for place, share in zip((place for place, _ in present), _completeness(canvas, present, order_NN), strict=True):
        complete[place] = share
    return found, complete


def _background(picture_HWC: np.ndarray, background_HWC: np.ndarray | None, around_HW: np.ndarray) -> float | None:
    if background_HWC is None or around_HW.mean() < LEAST_PIXELS:
        return None
    return float(np.abs(picture_HWC - background_HWC)[around_HW].mean())


def _clutter(canvas: Canvas, around_HW: np.ndarray) -> float | None:
    if canvas.background is None or around_HW.mean() < LEAST_PIXELS:
        return None
    off_PC = (canvas.picture - canvas.showable(canvas.background))[around_HW]
    usual_C, _ = frequent_colour(off_PC)
    return float((np.linalg.norm(off_PC - usual_C, axis=1) > UNLIKE).mean())


def _sharpness(canvas: Canvas, objects: Sequence[Fitted | None], order_NN: np.ndarray) -> float | None:
    within_HW = ~_grown(~_union(canvas, [one for one in objects if one is not None], SOLID), RIM)
    if within_HW.mean() < LEAST_PIXELS:
        return None
    expected = _energy(_painted(canvas, objects, order_NN, canvas.background, softness=BLUR), within_HW)
    return _energy(canvas.picture, within_HW) / expected if expected > 0 else None


def _energy(picture_HWC: np.ndarray, within_HW: np.ndarray) -> float:
    """Sum of the squared differences of neighbours that are both within."""
    down, across = np.diff(picture_HWC, axis=0) ** 2, np.diff(picture_HWC, axis=1) ** 2
    both_down, both_across = within_HW[1:] & within_HW[:-1], within_HW[:, 1:] & within_HW[:, :-1]
    return float(down[both_down].sum(dtype=np.float64) + across[both_across].sum(dtype=np.float64))


def _completeness(canvas: Canvas, present: Sequence[tuple[int, Fitted]], order_NN: np.ndarray) -> list[float | None]:
    """For every object that is there the credit of what should be seen of it; None where that is next to nothing.

    Where it cannot be told which of two is in front, the better explanation counts.
    """
    solid = {place: _on_canvas(canvas, one, one.shown.alpha > SOLID) for place, one in present}
    reach = RIM + round(canvas.softness / 2)
    visible = {}
    credit_HW = np.zeros(canvas.shape, dtype=np.float32)
    for place, one in present:
        seen_HW = solid[place].copy()
        for other in np.flatnonzero(order_NN[:, place]):
            seen_HW &= ~solid[int(other)]
        core_HW = seen_HW & ~_grown(~seen_HW, reach)
        visible[place] = core_HW if core_HW.mean() >= LEAST_PIXELS else seen_HW
        cost_HW = np.ones(canvas.shape, dtype=np.float32)
        cost_HW[one.found.place.window] = one.cost
        np.maximum(credit_HW, np.where(visible[place], 1 - cost_HW, 0), out=credit_HW)
    return [
        float(credit_HW[seen_HW].mean()) if seen_HW.mean() >= LEAST_PIXELS else None for seen_HW in visible.values()
    ]


def _painted(
    canvas: Canvas,
    objects: Sequence[Fitted | None],
    order_NN: np.ndarray,
    background_HWC: np.ndarray | None,
    softness: float = 0.0,
) -> np.ndarray:
    """(H, W, C): the picture as it should be with the objects where they were found, in the order that was seen."""
    painted_HWC = np.array(canvas.ground if background_HWC is None else background_HWC)
    for place in back_to_front(order_NN):
        one = objects[place]
        if one is not None:
            spot = one.found.place
            sharp = canvas.stamps.stamp(one.item.name, spot.width, spot.height, softness)
            behind_HWC = painted_HWC[spot.window]
            painted_HWC[spot.window] = sharp.painted.transpose(1, 2, 0) + sharp.clear[..., None] * behind_HWC
    return canvas.showable(painted_HWC)


def back_to_front(order_NN: np.ndarray) -> list[int]:
    """An order in which what hides something comes after it; loops are broken at whom fewest are in front of."""
    left = set(range(len(order_NN)))
    listed: list[int] = []
    while left:
        rest = sorted(left)
        hides = {place: int(order_NN[place, rest].sum()) for place in rest}
        chosen = min(rest, key=lambda place: hides[place])
        listed.append(chosen)
        left.remove(chosen)
    return listed


def _union(canvas: Canvas, objects: Sequence[Fitted], opacity: float) -> np.ndarray:
    union_HW = np.zeros(canvas.shape, dtype=bool)
    for one in objects:
        union_HW[one.found.place.window] |= one.shown.alpha > opacity
    return union_HW


def _on_canvas(canvas: Canvas, one: Fitted, values_HW: np.ndarray) -> np.ndarray:
    whole_HW = np.zeros(canvas.shape, dtype=values_HW.dtype)
    whole_HW[one.found.place.window] = values_HW
    return whole_HW


def _grown(mask_HW: np.ndarray, reach: int) -> np.ndarray:
    """A mask and all within `reach` pixels of it along either side; what lies outside the picture is not in it."""
    grown_HW = mask_HW
    for axis in (0, 1):
        counted = np.cumsum(np.pad(grown_HW, [(reach + 1, reach) if a == axis else (0, 0) for a in (0, 1)]), axis=axis)
        length = mask_HW.shape[axis]
        upper = np.take(counted, range(2 * reach + 1, 2 * reach + 1 + length), axis=axis)
        grown_HW = upper > np.take(counted, range(length), axis=axis)
    return grown_HW
