"""Finding all the objects of a picture together: each is looked for in what the others leave unexplained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from occlusionformer.data.artwork import ArtObject
from occlusionformer.evaluation.scenes.explain import BLUR, Ground, first_ground, ground_around, shrink
from occlusionformer.evaluation.scenes.search import FINE_STEPS, Found, Place, View, probe, refine, seen_cost
from occlusionformer.evaluation.scenes.templates import Stamp, stamp

COARSE, LESS_COARSE = 4, 2
"""Pixels of the picture to one of the small copy that is searched whole; weak objects are looked for in the other."""
SOFTNESSES = (BLUR, 1.2, 1.9, 2.7, 3.7)
"""Radii of blur tried on a picture, in pixels, from that of reading it; the one that explains most is kept."""
ROUNDS = 3
"""Fits of all objects among the others; all but the last look elsewhere, too."""
FITTED = 4
"""Places of a search that are fitted; the others have only their promise compared."""
WEAK = 0.2
"""An object that explains less than this share of its own size is looked for harder."""
RIVAL = 0.6
"""Another place is fitted when it promises at least this share of the gain at the present one."""
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
class Canvas:
    """A picture with its background and its softness as far as they are known."""

    picture: np.ndarray
    ground: Ground
    softness: float

    @property
    def side(self) -> int:
        return len(self.picture)

    def view(self, placed: Sequence[Fitted]) -> View:
        """Each pixel explained by whichever of the objects over it does so best, else by the background."""
        counted = [one for one in placed if one.found.gain >= LEAST_GAIN]
        return _view(self.picture, self.ground, counted, self.softness)

    def shrunk(self, view: View, factor: int) -> View:
        """A view of the whole picture as one of a small copy."""
        small_HWC = shrink(self.picture, factor)
        covered_HW = shrink(view.covered.astype(np.float32), factor) > 0.5
        ground = self.ground.shrunk(factor)
        present_HW = np.where(covered_HW, shrink(view.present, factor), ground.cost(small_HWC))
        return View(small_HWC, present_HW, covered_HW, ground.rows, self.softness / factor)

    def fitted(self, item: ArtObject, found: Found) -> Fitted:
        place = found.place
        shown = stamp(item.name, place.width, place.height, self.softness)
        seen_HWC = self.picture[place.window]
        return Fitted(item, found, shown, seen_cost(seen_HWC, shown, self.ground.rows[place.window[0]]))


@dataclass(frozen=True, slots=True)
class Fit:
    """All objects of a picture, in the order asked for, and the canvas they were found on."""

    objects: tuple[Fitted, ...]
    canvas: Canvas

    def view_without(self, place: int) -> View:
        """The picture as the background and all objects but one explain it."""
        return self.canvas.view([one for other, one in enumerate(self.objects) if other != place])


def fit(picture_HWC: np.ndarray, items: Sequence[ArtObject]) -> Fit:
    """Search the whole picture for each object, then fit all to the pixel; the best explained go first."""
    canvas = Canvas(picture_HWC, first_ground(picture_HWC), SOFTNESSES[0])
    objects = _search_in_turn(canvas, items)
    softness = _softness(canvas, objects)
    if softness != canvas.softness:
        canvas = replace(canvas, softness=softness)
        objects = _search_in_turn(canvas, items)
    for round_ in range(ROUNDS):
        canvas = replace(canvas, ground=ground_around(picture_HWC, _claimed(objects, picture_HWC.shape[:2])))
        for place in sorted(range(len(items)), key=lambda place: -objects[place].found.gain):
            view = canvas.view([one for other, one in enumerate(objects) if other != place])
            best = refine(items[place], objects[place].found.place, view, FINE_STEPS)
            if round_ < ROUNDS - 1:
                best = max(best, _best_elsewhere(canvas, items[place], view, best), key=lambda one: one.gain)
            objects[place] = canvas.fitted(items[place], best)
    return Fit(tuple(objects), canvas)


def _softness(canvas: Canvas, objects: Sequence[Fitted]) -> float:
    """The blur with which the objects, where they are, explain most of the picture."""
    view = canvas.view([])

    def explained(softness: float) -> float:
        soft = replace(view, softness=softness)
        gains = [soft.gain(one.item.name, one.found.place) for one in objects]
        return sum(max(gain, 0.0) for gain in gains)

    return max(SOFTNESSES, key=explained)


def _best_elsewhere(canvas: Canvas, item: ArtObject, view: View, here: Found | None = None) -> Found:
    """What a search of the whole picture finds; places that promise much less than the present one are not fitted."""
    weak = here is not None and here.gain < WEAK * stamp(item.name, here.place.width, here.place.height).alpha.sum()
    promised = [
        Found(place, view.gain(item.name, place))
        for place in _candidates(canvas, item, view, LESS_COARSE if weak else COARSE)
    ]
    promised.sort(key=lambda one: -one.gain)
    best = here or promised[0]
    for one in promised[: FITTED if here is None or weak else 1]:
        if here is None or weak or (one.gain >= RIVAL * here.gain and not _is_near(one.place, here.place)):
            best = max(best, refine(item, one.place, view, FINE_STEPS[:2]), key=lambda one: one.gain)
    return best


def _candidates(canvas: Canvas, item: ArtObject, view: View, factor: int) -> list[Place]:
    found = probe(item.name, canvas.side // factor, canvas.softness / factor).search(canvas.shrunk(view, factor))
    return [_enlarged(one.place, canvas.side, factor) for one in found]


def _search_in_turn(canvas: Canvas, items: Sequence[ArtObject]) -> list[Fitted]:
    """Look for every object alone; then again, each in what those that were clearer leave."""
    empty = canvas.view([])
    alone = [_best_elsewhere(canvas, item, empty) for item in items]
    found: dict[int, Fitted] = {}
    for place in sorted(range(len(items)), key=lambda place: -alone[place].gain):
        best = _best_elsewhere(canvas, items[place], canvas.view(list(found.values()))) if found else alone[place]
        found[place] = canvas.fitted(items[place], best)
    return [found[place] for place in range(len(items))]


def _view(picture_HWC: np.ndarray, ground: Ground, placed: Sequence[Fitted], softness: float) -> View:
    present_HW = ground.cost(picture_HWC)
    covered_HW = np.zeros(present_HW.shape, dtype=bool)
    for one in placed:
        window = one.found.place.window
        solid = one.shown.alpha > 0.5
        before = np.where(covered_HW[window], present_HW[window], np.inf)
        present_HW[window] = np.where(solid, np.minimum(before, one.cost), present_HW[window])
        covered_HW[window] |= solid
    return View(picture_HWC, present_HW, covered_HW, ground.rows, softness)


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
    return max(moved, grown) <= 2 * FINE_STEPS[0]


def _enlarged(place: Place, side: int, factor: int) -> Place:
    """A place of a small copy on the whole picture."""
    width, height = min(side, factor * place.width), min(side, factor * place.height)
    return Place(min(factor * place.left, side - width), min(factor * place.top, side - height), width, height)
