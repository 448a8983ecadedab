"""Finding all the objects of a picture together: each is looked for in what the others leave unexplained.

Arrays: H rows, W columns, C colour channels, P pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from occlusionformer.evaluation.scenes.canvas import (
    HALF,
    QUARTER,
    Canvas,
    Fitted,
    Views,
    enlarged,
    transferred,
)
from occlusionformer.evaluation.scenes.explain import BLUR
from occlusionformer.evaluation.scenes.lighting import Lighting, candidates, estimate
from occlusionformer.evaluation.scenes.search import Finder, Found, Place, View
from occlusionformer.evaluation.scenes.templates import Depicted

SOFTNESSES = (BLUR, 0.85, 1.2, 1.9, 2.7, 3.7)
"""Radii of blur tried on a picture, in pixels, from that of reading it; the one that explains most is kept."""
ROUNDS = 4
"""Fits of the objects among the others, after the first of those around which something moved; all but the last look
elsewhere, too."""
FITTED, FITTED_IF_WEAK = 4, 8
"""Places of a search that are fitted; the others have only their promise compared."""
WEAK = 0.2
"""An object that explains less than this share of its own size is looked for harder."""
CLOSE = 0.5
"""One of these is left out when it promises less than this share of what the best of those before it gives."""
RIVAL = 0.6
"""Another place is fitted when it promises at least this share of the gain at the present one."""
NEAR = 8
"""Two places no farther apart than this, in pixels, are fitted to the same one."""
LEAST_PRESENT = 20.0
"""Pixels an object must explain to count as present."""
LEAST_SHARE = 0.04
"""The same as a share of its own size: noise stays below."""
MOST_MISSING, MOST_SOUGHT = 0.5, 6
"""Missing objects are looked for closely if no more than this share of all is missing, and this many of them."""
SAME_LIGHT = 0.015
"""Lights that differ by less than this in every colour are taken for the same."""
OPAQUE = 0.95
"""Opacity from which a pixel of an object tells the light."""
SAY_OF_BACKGROUND = 0.5
"""Weight of the whole background in telling the light, against that of all objects."""
BETTER_LIGHT = 1.05
"""Another light than the declared one has to explain so many times as much to be believed before objects are known."""


@dataclass(frozen=True, slots=True)
class Fit:
    """All objects of a picture, in the order asked for, and the canvas they were found on."""

    objects: tuple[Fitted, ...]
    canvas: Canvas

    def views_without(self, place: int) -> Views:
        """The picture as the background and all objects but one explain it."""
        return self.canvas.views(_others(self.objects, place))


def fit(finder: Finder, seen_HWC: np.ndarray, background_HWC: np.ndarray | None, items: Sequence[Depicted]) -> Fit:
    """Search the whole picture for each object, then fit all to the pixel; the best explained go first.

    The sides of the picture have to be multiples of QUARTER.
    """
    canvas = Canvas(finder.stamps, seen_HWC, background_HWC, Lighting(), SOFTNESSES[0])
    canvas = replace(canvas, lighting=_first_light(finder, canvas, items))
    empty = canvas.views([])
    alone = [_best_elsewhere(finder, item, empty) for item in items]
    softness = _softness(empty.full, finder, items, alone, SOFTNESSES)
    if softness != canvas.softness:
        canvas = replace(canvas, softness=softness)
        empty = canvas.views([])
        alone = [_best_elsewhere(finder, item, empty) for item in items]
    objects = _search_in_turn(finder, canvas, items, alone)
    unsettled = set(range(len(items)))
    for round_ in range(ROUNDS):
        canvas = canvas.around(objects)
        light = _light(canvas, objects)
        if light.differs(canvas.lighting) > SAME_LIGHT:
            canvas = replace(canvas, lighting=light)
            objects = [canvas.fitted(one.item, one.found) for one in objects]
            unsettled = set(range(len(items)))
        unsettled |= {place for place, one in enumerate(objects) if one.share < WEAK}
        if round_ == ROUNDS - 2:
            unsettled |= _sought_closely(finder, canvas, objects)
        unsettled = _refit(finder, canvas, objects, unsettled, look_elsewhere=round_ < ROUNDS - 1)
    return Fit(tuple(objects), canvas)


def is_present(one: Fitted) -> bool:
    """Whether an object explains enough, on the copy that objects are found on, to be seen there at all."""
    return one.found.gain >= LEAST_PRESENT and one.share >= LEAST_SHARE


def fit_finely(finder: Finder, rough: Fit, seen_HWC: np.ndarray, background_HWC: np.ndarray | None) -> Fit:
    """The objects of a smaller copy of a picture fitted to the pixels of the picture itself."""
    shape = (seen_HWC.shape[0], seen_HWC.shape[1])
    scale = (shape[0] * shape[1] / (rough.canvas.shape[0] * rough.canvas.shape[1])) ** 0.5
    canvas = Canvas(finder.stamps, seen_HWC, background_HWC, rough.canvas.lighting, BLUR)
    found = [Found(transferred(one.found.place, rough.canvas.shape, shape), one.found.gain) for one in rough.objects]
    items = [one.item for one in rough.objects]
    tried = [BLUR, *(softness * scale for softness in SOFTNESSES[1:])]
    canvas = replace(canvas, softness=_softness(canvas.views([]).full, finder, items, found, tried))
    objects = [
        canvas.fitted(item, Found(one.place, one.gain * scale**2)) for item, one in zip(items, found, strict=True)
    ]
    canvas = canvas.around(objects)
    _refit(finder, canvas, objects, set(range(len(objects))), look_elsewhere=False)
    return Fit(tuple(objects), canvas)


def _sought_closely(finder: Finder, canvas: Canvas, objects: list[Fitted]) -> set[int]:
    """Look for the few objects that are missing on the picture itself; thin ones are lost on its small copies.

    Those that were found are put where they are, and they and all around them are returned.
    """
    missing = [place for place, one in enumerate(objects) if not is_present(one)]
    found: set[int] = set()
    if len(missing) > MOST_MISSING * len(objects):
        return found
    for place in sorted(missing, key=lambda place: -objects[place].found.gain)[:MOST_SOUGHT]:
        item = objects[place].item
        view = canvas.views(_others(objects, place)).full
        promised = finder.search(item, view)[:FITTED]
        best = max((finder.refine(item, one.place, view) for one in promised), key=lambda one: one.gain)
        if best.gain > objects[place].found.gain:
            objects[place] = canvas.fitted(item, best)
            found |= {place, *_touching(objects, best.place)}
    return found


def _refit(
    finder: Finder, canvas: Canvas, objects: list[Fitted], unsettled: set[int], *, look_elsewhere: bool
) -> set[int]:
    """Fit these objects again, in place, each among all others; those around which something moved are returned."""
    moved: set[int] = set()
    for place in sorted(unsettled, key=lambda place: -objects[place].found.gain):
        item, before = objects[place].item, objects[place].found.place
        views = canvas.views(_others(objects, place))
        best = finder.refine(item, before, views.full)
        if look_elsewhere:
            best = max(best, _best_elsewhere(finder, item, views, best), key=lambda one: one.gain)
        objects[place] = canvas.fitted(item, best)
        if best.place != before:
            moved |= {place, *_touching(objects, before), *_touching(objects, best.place)}
    return moved


def _first_light(finder: Finder, canvas: Canvas, items: Sequence[Depicted]) -> Lighting:
    """The light in which the objects, each alone, promise to explain most of the picture."""
    best, most = canvas.lighting, 0.0
    for number, light in enumerate(candidates(canvas.seen, canvas.background)):
        view = replace(canvas, lighting=light).views([]).quarter
        gain = sum(max(finder.search(item, view)[0].gain, 0.0) for item in items)
        if gain > most * (BETTER_LIGHT if number else 1):
            best, most = light, gain
    return best


def _light(canvas: Canvas, objects: Sequence[Fitted]) -> Lighting:
    """The light told by the objects where they are seen, and by the declared background around them."""
    cost_HW = np.full(canvas.shape, np.inf, dtype=np.float32)
    expected_HWC = np.zeros_like(canvas.seen)
    for one in objects:
        window = one.found.place.window
        nearer = (one.shown.alpha > OPAQUE) & (one.cost < cost_HW[window])
        cost_HW[window] = np.where(nearer, one.cost, cost_HW[window])
        expected_HWC[window] = np.where(nearer[..., None], one.shown.colour, expected_HWC[window])
    objects_HW = np.isfinite(cost_HW)
    weight_HW = objects_HW.astype(np.float32)
    if canvas.background is not None and canvas.claimed is not None and canvas.nearly_as_declared:
        around_HW = ~canvas.claimed
        share = min(1.0, SAY_OF_BACKGROUND * objects_HW.sum() / max(around_HW.sum(), 1))
        expected_HWC = np.where(around_HW[..., None], canvas.background, expected_HWC)
        weight_HW = np.where(around_HW, share, weight_HW)
    told = weight_HW > 0
    return estimate(canvas.seen[told], expected_HWC[told], weight_HW[told], canvas.lighting)


def _softness(
    view: View, finder: Finder, items: Sequence[Depicted], found: Sequence[Found], tried: Sequence[float]
) -> float:
    """The blur of those tried with which the objects, where they are, explain most of the picture."""

    def explained(softness: float) -> float:
        soft = replace(view, softness=softness)
        gains = [soft.gain(finder.stamps, item.name, one.place) for item, one in zip(items, found, strict=True)]
        return sum(max(gain, 0.0) for gain in gains)

    return max(tried, key=explained)


def _best_elsewhere(finder: Finder, item: Depicted, views: Views, here: Found | None = None) -> Found:
    """What a search of the whole picture finds; places that promise much less than the present one are not fitted."""
    view, shape, stamps = views.half, views.canvas.shape, finder.stamps
    weak = here is not None and here.gain < WEAK * _size(finder, item, here.place)
    promised = [Found(place, view.gain(stamps, item.name, place)) for place in _candidates(finder, item, views, weak)]
    promised.sort(key=lambda one: -one.gain)
    if here is None or weak:
        chosen = promised[: FITTED_IF_WEAK if weak else FITTED]
    else:
        rival = promised[0]
        is_rival = rival.gain * HALF**2 >= RIVAL * here.gain
        chosen = [rival] if is_rival and not _is_near(enlarged(rival.place, shape, HALF), here.place) else []
    if not chosen:
        assert here is not None
        return here
    best = finder.refine(item, chosen[0].place, view)
    for one in chosen[1:]:
        if one.gain >= CLOSE * best.gain:
            best = max(best, finder.refine(item, one.place, view), key=lambda one: one.gain)
    place = enlarged(best.place, shape, HALF)
    return Found(place, views.full.gain(stamps, item.name, place))


def _size(finder: Finder, item: Depicted, place: Place) -> float:
    return float(finder.stamps.stamp(item.name, place.width, place.height).alpha.sum())


def _candidates(finder: Finder, item: Depicted, views: Views, thorough: bool) -> list[Place]:
    """Places on the half-size copy."""
    found = finder.search(item, views.half if thorough else views.quarter)
    half = views.half.present.shape
    return [one.place if thorough else enlarged(one.place, half, QUARTER // HALF) for one in found]


def _search_in_turn(finder: Finder, canvas: Canvas, items: Sequence[Depicted], alone: Sequence[Found]) -> list[Fitted]:
    """Look for every object again, each in what those that were clearer alone leave."""
    found: dict[int, Fitted] = {}
    for place in sorted(range(len(items)), key=lambda place: -alone[place].gain):
        views = canvas.views(list(found.values()))
        found[place] = canvas.fitted(
            items[place], _best_elsewhere(finder, items[place], views) if found else alone[place]
        )
    return [found[place] for place in range(len(items))]


def _others(objects: Sequence[Fitted], place: int) -> list[Fitted]:
    return [one for other, one in enumerate(objects) if other != place]


def _touching(objects: Sequence[Fitted], place: Place) -> set[int]:
    """The objects whose places have pixels in common with one."""
    return {number for number, one in enumerate(objects) if one.found.place.touches(place)}


def _is_near(first: Place, second: Place) -> bool:
    """Whether a fit from one would come upon the other."""
    moved = max(abs(first.left - second.left), abs(first.top - second.top))
    grown = max(abs(first.width - second.width), abs(first.height - second.height))
    return max(moved, grown) <= NEAR
