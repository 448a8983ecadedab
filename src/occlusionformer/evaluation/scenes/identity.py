"""Which of all packaged objects is nearest to what is seen at a place.

Arrays: A objects of the artwork, H rows, W columns, C colour channels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from occlusionformer.data.artwork import packaged_art
from occlusionformer.evaluation.scenes.explain import cost_of_planes
from occlusionformer.evaluation.scenes.fitting import HALF, Views, enlarged, reduced
from occlusionformer.evaluation.scenes.search import FINE_STEPS, Found, Place, View, refine
from occlusionformer.evaluation.scenes.templates import stamp

CARD = 24
"""Side in pixels of the small square pictures by which all objects are compared."""
SHORTLIST = 4
"""Nearest objects that are then fitted around the place, as the one asked for was."""
ALIKE = 0.25
"""Those that explain less than this share of what the one asked for does are not fitted."""
PROMISING = 0.7
"""Share of the greatest gain so far that an object must promise on the half-size copy to be fitted to the pixel."""


def nearest_object(views: Views, found: Found, asked: str) -> str:
    """The object that explains most of the picture at a place, where those fitted elsewhere do not.

    All objects are compared stretched to the place; the nearest few are then fitted freely, first at half size.
    """
    art = packaged_art()
    stretched_A = _gains(views.full, found.place)
    nearest, most = asked, found.gain
    least = ALIKE * stretched_A[[one.name for one in art.objects].index(asked)]
    for number in np.argsort(-stretched_A, kind="stable")[:SHORTLIST]:
        rival = art.objects[number]
        if rival.name != asked and stretched_A[number] >= least:
            start = _inside(reduced(found.place, HALF), rival.aspect, views.half.side)
            rough = refine(rival, start, views.half)
            if rough.gain * HALF**2 >= PROMISING * most:
                fine = refine(rival, enlarged(rough.place, views.full.side, HALF), views.full, FINE_STEPS[-1:])
                if fine.gain > most:
                    nearest, most = rival.name, fine.gain
    return nearest


def _gains(view: View, place: Place) -> np.ndarray:
    """(A,) what each object would explain, stretched to the place."""
    rows, columns = place.window
    seen_CHW = np.stack([_square(plane_HW) for plane_HW in view.picture[:, rows, columns]])
    present_HW = _square(view.present[rows, columns])
    covered_HW = _square(view.covered[rows, columns].astype(np.float32)) > 0.5
    colour_CAHW, alpha_AHW = _cards()
    gain_AHW = present_HW - cost_of_planes(seen_CHW[:, None], colour_CAHW)
    np.maximum(gain_AHW, np.where(covered_HW, 0, -np.inf), out=gain_AHW)
    return np.einsum("ahw,ahw->a", gain_AHW, alpha_AHW)


@lru_cache(maxsize=1)
def _cards() -> tuple[np.ndarray, np.ndarray]:
    shown = [stamp(item.name, CARD, CARD) for item in packaged_art().objects]
    colour_CAHW = np.ascontiguousarray(np.stack([one.colour for one in shown]).transpose(3, 0, 1, 2))
    return colour_CAHW, np.stack([one.alpha for one in shown])


def _square(values_HW: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(values_HW, dtype=np.float32))
    return np.asarray(picture.resize((CARD, CARD), Image.Resampling.BOX))


def _inside(place: Place, aspect: float, side: int) -> Place:
    """The place changed to an object's own aspect ratio, about the same centre and area, inside the picture."""
    area = place.width * place.height
    width = min(side, max(4, round((area * aspect) ** 0.5)))
    height = min(side, max(4, round((area / aspect) ** 0.5)))
    left = place.left + (place.width - width) // 2
    top = place.top + (place.height - height) // 2
    return Place(min(max(left, 0), side - width), min(max(top, 0), side - height), width, height)
