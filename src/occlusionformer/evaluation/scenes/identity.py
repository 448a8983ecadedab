"""Which of all packaged objects is nearest to what is seen at a place.

Arrays: H rows, W columns, C colour channels, A objects of the artwork.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from occlusionformer.data.artwork import packaged_art
from occlusionformer.evaluation.scenes.explain import cost
from occlusionformer.evaluation.scenes.search import Place, View, refine
from occlusionformer.evaluation.scenes.templates import stamp

CARD = 24
"""Side in pixels of the small square pictures by which all objects are compared."""
SHORTLIST = 4
"""Nearest objects that are then fitted around the place, as the one asked for was."""


def nearest_object(view: View, place: Place, asked: str) -> str:
    """The object that explains most of the picture at a place, where those fitted elsewhere do not.

    All objects are compared stretched to the place; the nearest few, and the one asked for, are then fitted freely.
    """
    art = packaged_art()
    names = [art.objects[number].name for number in np.argsort(-_gains(view, place), kind="stable")[:SHORTLIST]]
    candidates = [asked, *(name for name in names if name != asked)]
    found = [refine(art.named(name), _inside(place, art.named(name).aspect, len(view.picture)), view) for name in names]
    gains = {name: one.gain for name, one in zip(names, found, strict=True)}
    gains[asked] = max(gains.get(asked, -np.inf), view.gain(asked, place))
    return max(candidates, key=lambda name: gains[name])


def _gains(view: View, place: Place) -> np.ndarray:
    """(A,) what each object would explain, stretched to the place."""
    seen_HWC = _square(view.picture[place.window])
    present_HW = _square(view.present[place.window])
    covered_HW = _square(view.covered[place.window].astype(np.float32)) > 0.5
    colour_AHWC, alpha_AHW = _cards()
    gain_AHW = present_HW - cost(seen_HWC, colour_AHWC)
    gain_AHW = np.where(covered_HW, np.maximum(gain_AHW, 0), gain_AHW)
    return (gain_AHW * alpha_AHW).sum(axis=(1, 2))


@lru_cache(maxsize=1)
def _cards() -> tuple[np.ndarray, np.ndarray]:
    shown = [stamp(item.name, CARD, CARD) for item in packaged_art().objects]
    return np.stack([one.colour for one in shown]), np.stack([one.alpha for one in shown])


def _square(values: np.ndarray) -> np.ndarray:
    channels = values.reshape(*values.shape[:2], -1)
    resized = [
        np.asarray(Image.fromarray(channels[..., place]).resize((CARD, CARD), Image.Resampling.BOX))
        for place in range(channels.shape[2])
    ]
    return np.stack(resized, axis=-1).reshape(CARD, CARD, *values.shape[2:])


def _inside(place: Place, aspect: float, side: int) -> Place:
    """The place changed to an object's own aspect ratio, about the same centre and area, inside the picture."""
    area = place.width * place.height
    width = min(side, max(4, round((area * aspect) ** 0.5)))
    height = min(side, max(4, round((area / aspect) ** 0.5)))
    left = place.left + (place.width - width) // 2
    top = place.top + (place.height - height) // 2
    return Place(min(max(left, 0), side - width), min(max(top, 0), side - height), width, height)
