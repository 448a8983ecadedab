"""The judge: told which objects a picture should show, it says where they are, which they are and who is in front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from occlusionformer.evaluation.scenes.appearance import Appearance, appearance_of
from occlusionformer.evaluation.scenes.canvas import QUARTER, Fitted
from occlusionformer.evaluation.scenes.coloured import coloured_art
from occlusionformer.evaluation.scenes.explain import values_of
from occlusionformer.evaluation.scenes.fitting import Fit, fit, fit_finely, is_present
from occlusionformer.evaluation.scenes.identity import Lineup
from occlusionformer.evaluation.scenes.pairs import judged_order
from occlusionformer.evaluation.scenes.search import Finder
from occlusionformer.evaluation.scenes.templates import Art

EDITION = 2
"""Raised when a figure changes its meaning; results of different editions cannot be compared."""
SEARCHED_SIDE = 32
"""Root of the area, in pixels, of the copy of a picture that is searched whole; objects are found on one of four times
this side, whatever the picture's size, and then fitted to the pixels of the picture itself."""
NEARLY = 1.25
"""A picture this much larger or smaller than that is not made smaller or larger first."""
LARGEST_SIDE = 16 * SEARCHED_SIDE
"""Root of the area in pixels from which a picture is made smaller before it is judged."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One object the judge was asked to find."""

    name: str
    box: tuple[float, float, float, float] | None
    """Normalised, around what is more than half opaque of the object as if nothing hid it; None if it is absent."""
    nearest: str | None
    """The object of the art that explains this place best."""
    share: float
    """How much of its own size the object explains that nothing else does."""
    complete: float | None
    """How much of what should be seen of it there is seen; None if it is absent or wholly hidden."""
    right_colour: bool | None = None
    """Whether its colour is the nearest of all that the object may have; None if it has but one."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge saw in a picture."""

    sightings: tuple[Sighting, ...]
    order: np.ndarray
    """(N, N): 1 where the object of the row is seen in front of that of the column."""
    appearance: Appearance

    @property
    def completeness(self) -> float | None:
        """How much of what should be seen of the objects is seen: absent ones count as 0, hidden ones not at all."""
        known = [0.0 if one.box is None else one.complete for one in self.sightings]
        return _mean([share for share in known if share is not None])

    @property
    def colour(self) -> float | None:
        """Share of the objects that may have several colours which have the one asked for."""
        return _mean([float(one.right_colour) for one in self.sightings if one.right_colour is not None])


class SceneJudge:
    """Knows what every object of some artwork looks like, in all its colours."""

    def __init__(self, art: Art) -> None:
        self._art = art
        self._finder = Finder(art)
        self._lineup = Lineup(self._finder)

    def judge(self, image: Image.Image, names: Sequence[str], background: Image.Image | None = None) -> Verdict:
        """Look for the objects of these names; nothing is known of where they were meant to be.

        background: the picture without objects that was asked for; the image is judged at its size. Without it, nothing
        is said of how the background was met. Raises ValueError for names that are not of the art.
        """
        items = [self._finder.stamps.named(name) for name in names]
        size = _judged_size(image.size if background is None else background.size)
        working = _working_size(size)
        rough = fit(
            self._finder,
            values_of(image, working),
            None if background is None else values_of(background, working),
            items,
        )
        shown = [is_present(one) for one in rough.objects]
        fine = rough
        if working != size:
            declared_HWC = None if background is None else values_of(background, size)
            fine = fit_finely(self._finder, rough, values_of(image, size), declared_HWC)
        present = [one if here else None for one, here in zip(fine.objects, shown, strict=True)]
        order_NN = judged_order(fine.canvas, present)
        appearance, complete = appearance_of(
            fine.canvas,
            present,
            order_NN,
            picture_HWC=values_of(image, size, blur=0),
            background_HWC=None if background is None else values_of(background, size, blur=0),
        )
        sightings = tuple(
            self._sighting(rough, place, present[place], fine.canvas.shape, complete[place])
            for place in range(len(names))
        )
        return Verdict(sightings=sightings, order=order_NN, appearance=appearance)

    def _sighting(
        self, rough: Fit, place: int, one: Fitted | None, shape: tuple[int, int], complete: float | None
    ) -> Sighting:
        found = rough.objects[place]
        name = found.item.name
        colours = self._art.in_colours(name)
        if one is None:
            right = False if colours else None
            return Sighting(name=name, box=None, nearest=None, share=found.share, complete=complete, right_colour=right)
        views = rough.views_without(place)
        return Sighting(
            name=name,
            box=self._box(one, shape),
            nearest=self._lineup.nearest(views, found.found, name, colours),
            share=found.share,
            complete=complete,
            right_colour=self._lineup.nearest_colour(views, found.found, colours) == colours[name] if colours else None,
        )

    def _box(self, one: Fitted, shape: tuple[int, int]) -> tuple[float, float, float, float] | None:
        place = one.found.place
        tight = self._finder.stamps.stamp(one.item.name, place.width, place.height).tight
        if tight is None:
            return None
        left, top, right, bottom = tight
        height, width = shape
        return (
            (place.left + left) / width,
            (place.top + top) / height,
            (place.left + right) / width,
            (place.top + bottom) / height,
        )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


@lru_cache(maxsize=1)
def packaged_judge() -> SceneJudge:
    """Of the packaged objects."""
    return SceneJudge(coloured_art())


def judge(image: Image.Image, names: Sequence[str], background: Image.Image | None = None) -> Verdict:
    """As `SceneJudge.judge`, of the packaged objects."""
    return packaged_judge().judge(image, names, background)


def _judged_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which figures are taken."""
    scale = min(1.0, LARGEST_SIDE / math.sqrt(size[0] * size[1]))
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def _working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which objects are found: multiples of QUARTER, their product nearly the same for all."""
    scale = QUARTER * SEARCHED_SIDE / math.sqrt(size[0] * size[1])
    if 1 / NEARLY <= scale <= NEARLY:
        scale = 1.0
    width, height = (max(1, round(scale * side / QUARTER)) * QUARTER for side in size)
    return width, height
