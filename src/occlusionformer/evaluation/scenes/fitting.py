"""Finding all the objects of a picture together: each is looked for in what the others leave unexplained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from occlusionformer.data.artwork import ArtObject
from occlusionformer.evaluation.scenes.explain import (
    BLUR,
    Ground,
    first_ground,
    ground_around,
    planes_of,
    shrink,
)
from occlusionformer.evaluation.scenes.search import Found, Place, View, probe, refine, seen_cost
from occlusionformer.evaluation.scenes.templates import Stamp, stamp

HALF, QUARTER = 2, 4
"""Pixels of the picture to one of a small copy. The smaller one is searched whole, for weak objects the other; there
places are fitted before they are to the pixel."""
SOFTNESSES = (BLUR, 1.2, 1.9, 2.7, 3.7)
"""Radii of blur tried on a picture, in pixels, from that of reading it; the one that explains most is kept."""
ROUNDS = 3
"""Fits of the objects among the others, after the first of those around which something moved; all but the last look
elsewhere, too."""
FITTED = 4
"""Places of a search that are fitted; the others have only their promise compared."""
WEAK = 0.2
"""An object that explains less than this share of its own size is looked for harder."""
CLOSE = 0.5
"""One of these is left out when it promises less than this share of what the best of those before it gives."""
RIVAL = 0.6
"""Another place is fitted when it promises at least this share of the gain at the present one."""
NEAR = 8
"""Two places no farther apart than this, in pixels, are fitted to the same one."""
LEAST_GAIN = 10.0
"""Pixels an object must explain to be taken into account while others are looked for."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An object where the judge believes it to be."""

    item: ArtObject
    found: Found
    shown: Stamp
    """As soft as the picture."""
    cost: np.ndarray
    """(H, W) of the place's window: what its pixels cost if this object is seen there."""


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A picture, or a small copy of it, and how its background explains it."""

    picture: np.ndarray
    """(C, H, W)."""
    ground: np.ndarray
    """(C, H, 1)."""
    cost: np.ndarray
    """(H, W)."""


@dataclass(frozen=True)
class Canvas:
    """A picture with its background and its softness as far as they are known."""

    picture: np.ndarray
    ground: Ground
    softness: float
    _backdrops: dict[int, Backdrop] = field(init=False, default_factory=dict, repr=False, compare=False)

    @property
    def side(self) -> int:
        return len(self.picture)

    def backdrop(self, factor: int = 1) -> Backdrop:
        """The picture, or its copy of so many pixels to one."""
        if factor not in self._backdrops:
            picture_HWC, ground = shrink(self.picture, factor), self.ground.shrunk(factor)
            ground_CH1 = planes_of(ground.rows[:, None])
            self._backdrops[factor] = Backdrop(planes_of(picture_HWC), ground_CH1, ground.cost(picture_HWC))
        return self._backdrops[factor]

    def views(self, placed: Sequence[Fitted]) -> Views:
        """Each pixel explained by whichever of the objects over it does so best, else by the background."""
        return Views(self, tuple(one for one in placed if one.found.gain >= LEAST_GAIN))

    def fitted(self, item: ArtObject, found: Found) -> Fitted:
        place, backdrop = found.place, self.backdrop()
        shown = stamp(item.name, place.width, place.height, self.softness)
        rows, columns = place.window
        cost_HW = seen_cost(backdrop.picture[:, rows, columns], shown, backdrop.ground[:, rows])
        return Fitted(item, found, shown, cost_HW)


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
            solid = one.shown.alpha > 0.5
            before = np.where(covered_HW[window], present_HW[window], np.float32(np.inf))
            present_HW[window] = np.where(solid, np.minimum(before, one.cost), present_HW[window])
            covered_HW[window] |= solid
        return View(backdrop.picture, present_HW, _least(covered_HW), backdrop.ground, self.canvas.softness)

    @cached_property
    def half(self) -> View:
        return self.small(HALF)

    @cached_property
    def quarter(self) -> View:
        return self.small(QUARTER)

    def small(self, factor: int) -> View:
        backdrop = self.canvas.backdrop(factor)
        covered_HW = shrink(self.full.covered.astype(np.float32), factor) > 0.5
        present_HW = np.where(covered_HW, shrink(self.full.present, factor), backdrop.cost)
        softness = self.canvas.softness / factor
        return View(backdrop.picture, present_HW, _least(covered_HW), backdrop.ground, softness)


@dataclass(frozen=True, slots=True)
class Fit:
    """All objects of a picture, in the order asked for, and the canvas they were found on."""

    objects: tuple[Fitted, ...]
    canvas: Canvas

    def views_without(self, place: int) -> Views:
        """The picture as the background and all objects but one explain it."""
        return self.canvas.views([one for other, one in enumerate(self.objects) if other != place])


def fit(picture_HWC: np.ndarray, items: Sequence[ArtObject]) -> Fit:
    """Search the whole picture for each object, then fit all to the pixel; the best explained go first."""
    canvas = Canvas(picture_HWC, first_ground(picture_HWC), SOFTNESSES[0])
    empty = canvas.views([])
    alone = [_best_elsewhere(item, empty) for item in items]
    softness = _softness(empty.full, items, alone)
    if softness != canvas.softness:
        canvas = replace(canvas, softness=softness)
        empty = canvas.views([])
        alone = [_best_elsewhere(item, empty) for item in items]
    objects = _search_in_turn(canvas, items, alone)
    unsettled = set(range(len(items)))
    for round_ in range(ROUNDS):
        canvas = replace(canvas, ground=ground_around(picture_HWC, _claimed(objects, picture_HWC.shape[:2])))
        moved = set()
        for place in sorted(unsettled, key=lambda place: -objects[place].found.gain):
            before = objects[place].found.place
            views = canvas.views([one for other, one in enumerate(objects) if other != place])
            best = refine(items[place], before, views.full)
            if round_ < ROUNDS - 1:
                best = max(best, _best_elsewhere(items[place], views, best), key=lambda one: one.gain)
            objects[place] = canvas.fitted(items[place], best)
            if best.place != before:
                moved |= {place, *_touching(objects, before), *_touching(objects, best.place)}
        unsettled = moved
    return Fit(tuple(objects), canvas)


def _softness(view: View, items: Sequence[ArtObject], found: Sequence[Found]) -> float:
    """The blur with which the objects, where they are, explain most of the picture."""

    def explained(softness: float) -> float:
        soft = replace(view, softness=softness)
        gains = [soft.gain(item.name, one.place) for item, one in zip(items, found, strict=True)]
        return sum(max(gain, 0.0) for gain in gains)

    return max(SOFTNESSES, key=explained)


def _best_elsewhere(item: ArtObject, views: Views, here: Found | None = None) -> Found:
    """What a search of the whole picture finds; places that promise much less than the present one are not fitted."""
    view, side = views.half, views.full.side
    weak = here is not None and here.gain < WEAK * stamp(item.name, here.place.width, here.place.height).alpha.sum()
    promised = [Found(place, view.gain(item.name, place)) for place in _candidates(item, views, weak)]
    promised.sort(key=lambda one: -one.gain)
    if here is None or weak:
        chosen = promised[:FITTED]
    else:
        rival = promised[0]
        is_rival = rival.gain * HALF**2 >= RIVAL * here.gain
        chosen = [rival] if is_rival and not _is_near(enlarged(rival.place, side, HALF), here.place) else []
    if not chosen:
        assert here is not None
        return here
    best = refine(item, chosen[0].place, view)
    for one in chosen[1:]:
        if one.gain >= CLOSE * best.gain:
            best = max(best, refine(item, one.place, view), key=lambda one: one.gain)
    place = enlarged(best.place, side, HALF)
    return Found(place, views.full.gain(item.name, place))


def _candidates(item: ArtObject, views: Views, thorough: bool) -> list[Place]:
    """Places on the half-size copy."""
    view = views.half if thorough else views.quarter
    found = probe(item.name, view.side, view.softness).search(view)
    return [one.place if thorough else enlarged(one.place, views.half.side, QUARTER // HALF) for one in found]


def _search_in_turn(canvas: Canvas, items: Sequence[ArtObject], alone: Sequence[Found]) -> list[Fitted]:
    """Look for every object again, each in what those that were clearer alone leave."""
    found: dict[int, Fitted] = {}
    for place in sorted(range(len(items)), key=lambda place: -alone[place].gain):
        best = _best_elsewhere(items[place], canvas.views(list(found.values()))) if found else alone[place]
        found[place] = canvas.fitted(items[place], best)
    return [found[place] for place in range(len(items))]


def _least(covered_HW: np.ndarray) -> np.ndarray:
    return np.where(covered_HW, np.float32(0), np.float32(-np.inf))


def _touching(objects: Sequence[Fitted], place: Place) -> set[int]:
    """The objects whose places have pixels in common with one."""
    return {number for number, one in enumerate(objects) if one.found.place.touches(place)}


def _claimed(objects: Sequence[Fitted], shape: tuple[int, ...]) -> np.ndarray:
    claimed_HW = np.zeros(shape, dtype=bool)
    for one in objects:
        if one.found.gain >= 0:
            claimed_HW[one.found.place.window] |= one.shown.alpha > 0.1
    return claimed_HW


def _is_near(first: Place, second: Place) -> bool:
    """Whether a fit from one would come upon the other."""
    moved = max(abs(first.left - second.left), abs(first.top - second.top))
    grown = max(abs(first.width - second.width), abs(first.height - second.height))
    return max(moved, grown) <= NEAR


def enlarged(place: Place, side: int, factor: int) -> Place:
    """A place of a small copy on the whole picture, of this side."""
    width, height = min(side, factor * place.width), min(side, factor * place.height)
    return Place(min(factor * place.left, side - width), min(factor * place.top, side - height), width, height)


def reduced(place: Place, factor: int) -> Place:
    """A place of the whole picture on a small copy."""
    left, top = place.left // factor, place.top // factor
    return Place(left, top, (place.left + place.width) // factor - left, (place.top + place.height) // factor - top)
