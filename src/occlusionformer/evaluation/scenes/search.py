"""Where an object is in a picture: a search over every shift, size and aspect, then a fit to the pixel.

Arrays: H rows, W columns, C colour channels, K colours of a palette, T templates (sizes and aspects).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from occlusionformer.data.artwork import ArtObject, packaged_art
from occlusionformer.evaluation.scenes.explain import cost_of_planes
from occlusionformer.evaluation.scenes.templates import Stamp, layers, palette, stamp

SHORTEST, LONGEST = 0.14, 0.78
"""Longer side of an object as a share of the picture's side; a little more than scenes use either way."""
SIZE_STEP = 1.16
ASPECTS = (1 / 1.1, 1.1)
MOST_STRETCH = 1.35
"""The fine fit changes an object's aspect ratio by at most this factor."""
FINE_STEPS = (2, 1)
"""Pixels by which the fine fit moves edges, in turn."""
CANDIDATES = 12
"""Places that a search hands on."""
PEAKS, APART = 2, 2
"""Places kept for every size, and how far apart they are, in pixels of the small copy."""
READY = 192
"""Objects kept ready for the search; each takes about half a MB at a quarter of the side, 2 MB at half."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object's picture lies, in pixels of the judged picture."""

    left: int
    top: int
    width: int
    height: int

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def touches(self, other: Place) -> bool:
        """Whether the two have pixels in common."""
        beside = self.left + self.width <= other.left or other.left + other.width <= self.left
        above = self.top + self.height <= other.top or other.top + other.height <= self.top
        return not (beside or above)


@dataclass(frozen=True, slots=True)
class Found:
    """A place and how much of the picture the object explains there that nothing else does."""

    place: Place
    gain: float


@dataclass(frozen=True, slots=True)
class View:
    """A picture and what explains it so far."""

    picture: np.ndarray
    """(C, H, W) float32 in 0..1."""
    present: np.ndarray
    """(H, W): what each pixel costs now."""
    least: np.ndarray
    """(H, W): the least that may be gained; 0 where objects are, behind which another may lie unseen, else -inf."""
    ground: np.ndarray
    """(C, H, 1): the background's colour of every row."""
    softness: float
    """Radius in pixels of the blur that objects in the picture are expected to have."""

    @property
    def side(self) -> int:
        return len(self.present)

    @property
    def covered(self) -> np.ndarray:
        """(H, W) bool: where objects are."""
        return self.least == 0

    def gain(self, name: str, place: Place) -> float:
        """How much cheaper the picture becomes with the object there, in pixels."""
        shown, (rows, columns) = stamp(name, place.width, place.height, self.softness), place.window
        gain_HW = seen_cost(self.picture[:, rows, columns], shown, self.ground[:, rows])
        np.subtract(self.present[rows, columns], gain_HW, out=gain_HW)
        np.maximum(gain_HW, self.least[rows, columns], out=gain_HW)
        return float(np.vdot(shown.weight, gain_HW))


@lru_cache(maxsize=READY)
def probe(name: str, side: int, softness: float) -> Probe:
    """The probe of a packaged object for pictures of this side and softness."""
    return Probe(packaged_art().named(name), side, softness)


class Probe:
    """One object, made ready for searching pictures of one side."""

    def __init__(self, item: ArtObject, side: int, softness: float) -> None:
        self.side = side
        self.sizes = tuple(_sizes(item.aspect, side))
        self.colours_KC = palette(stamp(item.name, *self.sizes[len(self.sizes) * 2 // 3], softness))
        padded_TKHW = np.zeros((len(self.sizes), len(self.colours_KC), side, side), dtype=np.float32)
        for place, (width, height) in enumerate(self.sizes):
            shown = stamp(item.name, width, height, softness)
            padded_TKHW[place, :, :height, :width] = layers(shown, self.colours_KC)
        self._spectrum = np.conj(np.fft.rfft2(padded_TKHW)).astype(np.complex64)

    def search(self, view: View) -> list[Found]:
        """The places of greatest gain over the whole picture, as far as the main colours tell; the best comes first."""
        costs = [cost_of_planes(view.picture, colour[:, None, None]) for colour in self.colours_KC]
        gain_KHW = np.maximum(view.present - np.stack(costs), view.least)
        spectrum = np.fft.rfft2(gain_KHW.astype(np.float32))
        total_THW = np.fft.irfft2(np.einsum("tkhw,khw->thw", self._spectrum, spectrum), s=gain_KHW.shape[1:])
        found = []
        for (width, height), total_HW in zip(self.sizes, total_THW, strict=True):
            inside_HW = total_HW[: self.side - height + 1, : self.side - width + 1].copy()
            for _ in range(PEAKS):
                top, left = divmod(int(inside_HW.argmax()), inside_HW.shape[1])
                found.append(Found(Place(left, top, width, height), float(inside_HW[top, left])))
                inside_HW[max(0, top - APART) : top + APART + 1, max(0, left - APART) : left + APART + 1] = -math.inf
        found.sort(key=lambda one: -one.gain)
        apart: list[Found] = []
        for one in found:
            if len(apart) < CANDIDATES and not any(_is_near(one.place, other.place) for other in apart):
                apart.append(one)
        return apart


def seen_cost(seen_CHW: np.ndarray, shown: Stamp, ground_CH1: np.ndarray) -> np.ndarray:
    """(H, W): what each pixel costs if the object is seen there, its soft edge mixed with the background."""
    expected_CHW = shown.clear * ground_CH1
    expected_CHW += shown.painted
    return cost_of_planes(seen_CHW, expected_CHW)


def refine(item: ArtObject, start: Place, view: View, steps: Sequence[int] = FINE_STEPS) -> Found:
    """Move the place and its edges while that explains more."""
    side = view.side
    best = Found(start, view.gain(item.name, start))
    tried = {start}
    for step in steps:
        improved = True
        while improved:
            improved = False
            for place in _neighbours(best.place, step):
                if place not in tried and _fits(place, item.aspect, side):
                    tried.add(place)
                    gain = view.gain(item.name, place)
                    if gain > best.gain:
                        best, improved = Found(place, gain), True
    return best


def _neighbours(place: Place, step: int) -> Iterator[Place]:
    left, top, width, height = place.left, place.top, place.width, place.height
    for sign in (-step, step):
        yield Place(left + sign, top, width, height)
        yield Place(left, top + sign, width, height)
        yield Place(left + sign, top, width - sign, height)
        yield Place(left, top, width + sign, height)
        yield Place(left, top + sign, width, height - sign)
        yield Place(left, top, width, height + sign)
        yield Place(left - sign // 2, top - sign // 2, width + sign, height + sign)
        yield Place(left + sign, top, width - 2 * sign, height)
        yield Place(left, top + sign, width, height - 2 * sign)


def _fits(place: Place, aspect: float, side: int) -> bool:
    inside = 0 <= place.left <= side - place.width and 0 <= place.top <= side - place.height
    if not inside or min(place.width, place.height) < 2:
        return False
    stretch = place.width / place.height / aspect
    return max(place.width, place.height) >= SHORTEST * side and 1 / MOST_STRETCH <= stretch <= MOST_STRETCH


def _sizes(aspect: float, side: int) -> Iterator[tuple[int, int]]:
    """Widths and heights to try: the longer side in even ratios, several aspects."""
    count = math.ceil(math.log(LONGEST / SHORTEST) / math.log(SIZE_STEP)) + 1
    seen = set()
    for number in range(count):
        longer = SHORTEST * side * (LONGEST / SHORTEST) ** (number / (count - 1))
        for factor in ASPECTS:
            stretched = aspect * factor
            width, height = (longer, longer / stretched) if stretched >= 1 else (longer * stretched, longer)
            size = (max(2, round(width)), max(2, round(height)))
            if size not in seen:
                seen.add(size)
                yield size


def _is_near(first: Place, second: Place) -> bool:
    """Whether a fit from one would come upon the other; in pixels of the small copy."""
    moved = max(abs(first.left - second.left), abs(first.top - second.top))
    grown = max(abs(first.width - second.width), abs(first.height - second.height))
    return max(moved, grown) <= APART
