"""A picture with what is known of it: its light, its softness, its background, and the objects found on it.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from occlusionformer.evaluation.scenes.explain import UNCLAIMED, cost, planes_of, shrink
from occlusionformer.evaluation.scenes.ground import CROWD, estimate_ground, frequent_colour
from occlusionformer.evaluation.scenes.lighting import Lighting
from occlusionformer.evaluation.scenes.search import Found, Place, View, seen_cost
from occlusionformer.evaluation.scenes.templates import Depicted, Stamp, Stamps

HALF, QUARTER = 2, 4
"""Pixels of the picture to one of a small copy. The smaller one is searched whole, for weak objects the other; there
places are fitted before they are to the pixel."""
LEAST_GAIN = 10.0
"""Pixels an object must explain to be taken into account while others are looked for."""
SOLID = 0.5
"""Opacity from which an object hides what is behind it."""
MOST_SHIFT = 0.2
"""A background whose colour is farther (0..1, three channels) from the declared one is another background."""
TRACE = 0.1
"""Opacity up to which a pixel may tell what the background is."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An object where the judge believes it to be."""

    item: Depicted
    found: Found
    shown: Stamp
    """As soft as the picture."""
    cost: np.ndarray
    """(H, W) of the place's window: what its pixels cost if this object is seen there."""

    @property
    def share(self) -> float:
        """How much of its own size the object explains that nothing else does."""
        return float(self.found.gain / max(self.shown.alpha.sum(), 1.0))


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A picture, or a small copy of it, and how its background explains it."""

    picture: np.ndarray
    """(C, H, W)."""
    ground: np.ndarray
    """(C, H, W)."""
    cost: np.ndarray
    """(H, W)."""


@dataclass(frozen=True)
class Canvas:
    """A picture with its light, its background and its softness as far as they are known."""

    stamps: Stamps
    seen: np.ndarray
    """(H, W, C) as it was read."""
    background: np.ndarray | None
    """(H, W, C): the declared background, where there is one."""
    lighting: Lighting
    softness: float
    """Radius in pixels of the blur that objects in the picture have."""
    claimed: np.ndarray | None = None
    """(H, W) bool: where objects are; None before any is known."""
    _backdrops: dict[int, Backdrop] = field(init=False, default_factory=dict, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.seen.shape[0], self.seen.shape[1]

    @cached_property
    def picture(self) -> np.ndarray:
        """(H, W, C) in the light that the art is given in."""
        return self.lighting.undone(self.seen)

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(C, 1, 1) the darkest and the brightest colour that can be told; None if all can."""
        found = self.lighting.limits
        return None if found is None else (found[0][:, None, None], found[1][:, None, None])

    @cached_property
    def ground(self) -> np.ndarray:
        """(H, W, C): the background as far as it is told by what no object claims."""
        free_HW = np.ones(self.shape, dtype=bool) if self.claimed is None else ~self.claimed
        declared_HWC = None if self.background is None else self.showable(self.background)
        return estimate_ground(self.picture, declared_HWC, free_HW)

    @property
    def nearly_as_declared(self) -> bool:
        """Whether the background is the declared one, but perhaps for its light."""
        if self.background is None or self.claimed is None or self.claimed.all():
            return False
        shift_C, crowd = frequent_colour((self.picture - self.showable(self.background))[~self.claimed])
        return crowd >= CROWD and float(np.linalg.norm(shift_C)) <= MOST_SHIFT

    def showable(self, colours: np.ndarray) -> np.ndarray:
        """Colours (..., C) cut off as the light of the picture does."""
        found = self.lighting.limits
        return colours if found is None else np.clip(colours, *found)

    def backdrop(self, factor: int = 1) -> Backdrop:
        """The picture, or its copy of so many pixels to one."""
        if factor not in self._backdrops:
            picture_HWC, ground_HWC = shrink(self.picture, factor), shrink(self.ground, factor)
            cost_HW = np.minimum(cost(picture_HWC, ground_HWC), UNCLAIMED)
            self._backdrops[factor] = Backdrop(planes_of(picture_HWC), planes_of(ground_HWC), cost_HW)
        return self._backdrops[factor]

    def views(self, placed: Sequence[Fitted]) -> Views:
        """Each pixel explained by whichever of the objects over it does so best, else by the background."""
        return Views(self, tuple(one for one in placed if one.found.gain >= LEAST_GAIN))

    def fitted(self, item: Depicted, found: Found) -> Fitted:
        """An object at a place that was found."""
        place, backdrop = found.place, self.backdrop()
        shown = self.stamps.stamp(item.name, place.width, place.height, self.softness)
        rows, columns = place.window
        cost_HW = seen_cost(backdrop.picture[:, rows, columns], shown, backdrop.ground[:, rows, columns], self.limits)
        return Fitted(item, found, shown, cost_HW)

    def around(self, objects: Sequence[Fitted]) -> Canvas:
        """The same with the background told by what these do not claim."""
        claimed_HW = np.zeros(self.shape, dtype=bool)
        for one in objects:
            if one.found.gain >= 0:
                claimed_HW[one.found.place.window] |= one.shown.alpha > TRACE
        return replace(self, claimed=claimed_HW)


@dataclass(frozen=True)
class Views:
    """A canvas as some objects on it explain it, whole and as small copies; each is made when it is asked for."""

    canvas: Canvas
    placed: tuple[Fitted, ...]

    @cached_property
    def full(self) -> View:
        backdrop = self.canvas.backdrop()
        present_HW = backdrop.cost.copy()
        covered_HW = np.zeros(present_HW.shape, dtype=bool)
        for one in self.placed:
            window = one.found.place.window
            solid = one.shown.alpha > SOLID
            before = np.where(covered_HW[window], present_HW[window], np.float32(np.inf))
            present_HW[window] = np.where(solid, np.minimum(before, one.cost), present_HW[window])
            covered_HW[window] |= solid
        return self._view(backdrop, present_HW, covered_HW, self.canvas.softness)

    @cached_property
    def half(self) -> View:
        return self.small(HALF)

    @cached_property
    def quarter(self) -> View:
        return self.small(QUARTER)

    def small(self, factor: int) -> View:
        backdrop = self.canvas.backdrop(factor)
        covered_HW = shrink(self.full.covered.astype(np.float32), factor) > SOLID
        present_HW = np.where(covered_HW, shrink(self.full.present, factor), backdrop.cost)
        return self._view(backdrop, present_HW, covered_HW, self.canvas.softness / factor)

    def _view(self, backdrop: Backdrop, present_HW: np.ndarray, covered_HW: np.ndarray, softness: float) -> View:
        least_HW = np.where(covered_HW, np.float32(0), np.float32(-np.inf))
        return View(backdrop.picture, self.canvas.limits, present_HW, least_HW, backdrop.ground, softness)


def enlarged(place: Place, shape: tuple[int, ...], factor: int) -> Place:
    """A place of a small copy on the whole picture, of this shape (rows, columns)."""
    width, height = min(shape[1], factor * place.width), min(shape[0], factor * place.height)
    return Place(min(factor * place.left, shape[1] - width), min(factor * place.top, shape[0] - height), width, height)


def reduced(place: Place, factor: int) -> Place:
    """A place of the whole picture on a small copy."""
    left, top = place.left // factor, place.top // factor
    return Place(left, top, (place.left + place.width) // factor - left, (place.top + place.height) // factor - top)


def transferred(place: Place, shape: tuple[int, int], other: tuple[int, int]) -> Place:
    """A place of a picture on a copy of another shape (rows, columns)."""
    down, across = other[0] / shape[0], other[1] / shape[1]
    left, top = round(place.left * across), round(place.top * down)
    right, bottom = round((place.left + place.width) * across), round((place.top + place.height) * down)
    return Place(left, top, max(2, right - left), max(2, bottom - top))
