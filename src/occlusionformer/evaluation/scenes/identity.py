"""Which of all the objects of the art is nearest to what is seen at a place.

Arrays: A objects of the artwork, H rows, W columns, C colour channels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from PIL import Image

from occlusionformer.evaluation.scenes.canvas import HALF, Views, enlarged, reduced
from occlusionformer.evaluation.scenes.explain import cost_of_planes
from occlusionformer.evaluation.scenes.search import FINE_STEPS, Finder, Found, Place, View

MOST_CARD, CARD_PIXELS = 24, 300_000
"""All objects are compared by small square pictures of this side in pixels, or less where they would have more pixels
than this together."""
SHORTLIST = 4
"""Nearest objects that are then fitted around the place, as the one asked for was."""
ALIKE = 0.25
"""Those that explain less than this share of what the one asked for does are not fitted."""
PROMISING = 0.7
"""Share of the greatest gain so far that an object must promise on the half-size copy to be fitted to the pixel."""


class Lineup:
    """All objects of some artwork, to be compared with what is seen at a place."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._objects = finder.stamps.art.objects
        self._side = min(MOST_CARD, int((CARD_PIXELS / len(self._objects)) ** 0.5))
        self._colour_CAHW, self._alpha_AHW = self._cards([item.name for item in self._objects])

    def nearest(self, views: Views, found: Found, asked: str, same: Collection[str] = ()) -> str:
        """The object that explains most of the picture at a place, where those fitted elsewhere do not.

        All objects are compared stretched to the place; the nearest few are then fitted freely, first at half size.
        same: names under which the art has the object asked for in other colours; they do not compete with it.
        """
        stretched_A = self._gains(views.full, found.place, self._colour_CAHW, self._alpha_AHW)
        nearest, most = asked, found.gain
        least = ALIKE * self._gains(views.full, found.place, *self._cards([asked]))[0]
        rivals = [
            number for number in np.argsort(-stretched_A, kind="stable") if self._objects[number].name not in same
        ]
        for number in rivals[:SHORTLIST]:
            rival = self._objects[number]
            if rival.name != asked and stretched_A[number] >= least:
                start = _inside(reduced(found.place, HALF), rival.aspect, views.half.present.shape)
                rough = self._finder.refine(rival, start, views.half)
                if rough.gain * HALF**2 >= PROMISING * most:
                    place = enlarged(rough.place, views.full.present.shape, HALF)
                    fine = self._finder.refine(rival, place, views.full, FINE_STEPS[-1:])
                    if fine.gain > most:
                        nearest, most = rival.name, fine.gain
        return nearest

    def nearest_colour(self, views: Views, found: Found, colours: Mapping[str, str]) -> str:
        """The word for the colour of an object that explains most of the picture at a place.

        colours: the names of the object in all its colours, each with its word.
        """
        stamps = self._finder.stamps
        return colours[max(colours, key=lambda name: views.full.gain(stamps, name, found.place))]

    def _cards(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(C, A, H, W) the colours of objects as small squares, and (A, H, W) their opacity."""
        shown = [self._finder.stamps.stamp(name, self._side, self._side) for name in names]
        colour_CAHW = np.ascontiguousarray(np.stack([one.colour for one in shown]).transpose(3, 0, 1, 2))
        return colour_CAHW, np.stack([one.alpha for one in shown])

    def _gains(self, view: View, place: Place, colour_CAHW: np.ndarray, alpha_AHW: np.ndarray) -> np.ndarray:
        """(A,) what each object would explain, stretched to the place."""
        rows, columns = place.window
        seen_CHW = np.stack([self._square(plane_HW) for plane_HW in view.picture[:, rows, columns]])
        present_HW = self._square(view.present[rows, columns])
        covered_HW = self._square(view.covered[rows, columns].astype(np.float32)) > 0.5
        if view.limits is not None:
            colour_CAHW = np.clip(colour_CAHW, view.limits[0][..., None], view.limits[1][..., None])
        gain_AHW = present_HW - cost_of_planes(seen_CHW[:, None], colour_CAHW)
        np.maximum(gain_AHW, np.where(covered_HW, 0, -np.inf), out=gain_AHW)
        return np.einsum("ahw,ahw->a", gain_AHW, alpha_AHW)

    def _square(self, values_HW: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(np.ascontiguousarray(values_HW, dtype=np.float32))
        return np.asarray(picture.resize((self._side, self._side), Image.Resampling.BOX))


def _inside(place: Place, aspect: float, shape: tuple[int, ...]) -> Place:
    """The place changed to an object's own aspect ratio, about the same centre and area, inside the picture."""
    area = place.width * place.height
    width = min(shape[1], max(4, round((area * aspect) ** 0.5)))
    height = min(shape[0], max(4, round((area / aspect) ** 0.5)))
    left = place.left + (place.width - width) // 2
    top = place.top + (place.height - height) // 2
    return Place(min(max(left, 0), shape[1] - width), min(max(top, 0), shape[0] - height), width, height)
