"""The judge: told which objects a picture should show, it says where they are, which they are and who is in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from occlusionformer.data.artwork import packaged_art
from occlusionformer.evaluation.scenes.explain import read_picture
from occlusionformer.evaluation.scenes.fitting import Fitted, fit
from occlusionformer.evaluation.scenes.identity import nearest_object
from occlusionformer.evaluation.scenes.pairs import judged_order
from occlusionformer.evaluation.scenes.templates import stamp

LEAST_GAIN = 20.0
"""Pixels an object must explain to count as present."""
LEAST_SHARE = 0.06
"""The same as a share of its own size: noise stays below."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One object the judge was asked to find."""

    name: str
    box: tuple[float, float, float, float] | None
    """Normalised, around what is more than half opaque of the object as if nothing hid it; None if it is absent."""
    nearest: str | None
    """The packaged object that explains this place best."""
    share: float
    """How much of its own size the object explains that nothing else does."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge saw in a picture."""

    sightings: tuple[Sighting, ...]
    order: np.ndarray
    """(N, N): 1 where the object of the row is seen in front of that of the column."""


def judge(image: Image.Image, names: Sequence[str]) -> Verdict:
    """Look for the packaged objects of these names; nothing is known of where they were meant to be."""
    picture_HWC = read_picture(image)
    art = packaged_art()
    found = fit(picture_HWC, [art.named(name) for name in names])
    present = [one if _is_present(one) else None for one in found.objects]
    order_NN = judged_order(picture_HWC, present)
    sightings = []
    for place, (name, one) in enumerate(zip(names, found.objects, strict=True)):
        nearest = None
        if present[place] is not None:
            nearest = nearest_object(found.views_without(place), one.found, name)
        box = None if present[place] is None else _box(one, len(picture_HWC))
        sightings.append(Sighting(name=name, box=box, nearest=nearest, share=_share(one)))
    return Verdict(sightings=tuple(sightings), order=order_NN)


def _is_present(one: Fitted) -> bool:
    return one.found.gain >= LEAST_GAIN and _share(one) >= LEAST_SHARE


def _share(one: Fitted) -> float:
    return float(one.found.gain / max(one.shown.alpha.sum(), 1.0))


def _box(one: Fitted, side: int) -> tuple[float, float, float, float] | None:
    tight = stamp(one.item.name, one.found.place.width, one.found.place.height).tight
    if tight is None:
        return None
    place = one.found.place
    left, top, right, bottom = tight
    return (
        (place.left + left) / side,
        (place.top + top) / side,
        (place.left + right) / side,
        (place.top + bottom) / side,
    )
