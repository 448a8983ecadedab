"""Where an object is in a picture: a search over every shift, size and aspect, then a fit to the pixel.

Arrays: H rows, W columns, C colour channels, K colours of a palette, T templates (sizes and aspects).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from occlusionformer.evaluation.scenes.explain import cost_of_planes
from occlusionformer.evaluation.scenes.kept import Kept
from occlusionformer.evaluation.scenes.templates import Art, Depicted, Stamp, Stamps, layers, palette

SHORTEST, LONGEST = 0.13, 0.8
"""Longer side of an object as a share of the picture's (of the root of its area); scenes use a little less."""
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
PROBE_BYTES = 192 * 2**20
"""Memory for objects kept ready for the search; each takes about half a MB on the smallest copy, four times as much on
the next."""


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
    """(C, H, W) float32 in 0..1, in the light that the art is given in."""
    limits: tuple[np.ndarray, np.ndarray] | None
    """(C, 1, 1) the darkest and the brightest colour that the picture can show; None if it can show all."""
    present: np.ndarray
    """(H, W): what each pixel costs now."""
    least: np.ndarray
    """(H, W): the least that may be gained; 0 where objects are, behind which another may lie unseen, else -inf."""
    ground: np.ndarray
    """(C, H, W): the background."""
    softness: float
    """Radius in pixels of the blur that objects in the picture are expected to have."""

    @property
    def covered(self) -> np.ndarray:
        """(H, W) bool: where objects are."""
        return self.least == 0

    def gain(self, stamps: Stamps, name: str, place: Place) -> float:
        """How much cheaper the picture becomes with the object there, in pixels."""
        shown, (rows, columns) = stamps.stamp(name, place.width, place.height, self.softness), place.window
        seen_CHW, ground_CHW = self.picture[:, rows, columns], self.ground[:, rows, columns]
        gain_HW = seen_cost(seen_CHW, shown, ground_CHW, self.limits)
        np.subtract(self.present[rows, columns], gain_HW, out=gain_HW)
        np.maximum(gain_HW, self.least[rows, columns], out=gain_HW)
        return float(np.vdot(shown.weight, gain_HW))


class Finder:
    """Finds the objects of some artwork, and keeps ready what it needs to."""

    def __init__(self, art: Art) -> None:
        self.stamps = Stamps(art)
        self._probes: Kept[Probe] = Kept(PROBE_BYTES, lambda probe: probe.nbytes)

    def search(self, item: Depicted, view: View) -> list[Found]:
        """The places of greatest gain over the whole picture, as far as the main colours tell; the best comes first."""
        key = (item.name, view.present.shape, view.softness)
        return self._probes.get(key, lambda: Probe(self.stamps, item, view.present.shape, view.softness)).search(view)

    def refine(self, item: Depicted, start: Place, view: View, steps: Sequence[int] = FINE_STEPS) -> Found:
        """Move the place and its edges while that explains more."""
        best = Found(start, view.gain(self.stamps, item.name, start))
        tried = {start}
        for step in steps:
            improved = True
            while improved:
                improved = False
                for place in _neighbours(best.place, step):
                    if place not in tried and _fits(place, item.aspect, view.present.shape):
                        tried.add(place)
                        gain = view.gain(self.stamps, item.name, place)
                        if gain > best.gain:
                            best, improved = Found(place, gain), True
        return best


class Probe:
    """One object, made ready for searching pictures of one shape (rows, columns)."""

    def __init__(self, stamps: Stamps, item: Depicted, shape: tuple[int, ...], softness: float) -> None:
        self.shape = shape
        self.sizes = tuple(_sizes(item.aspect, shape))
        self.colours_KC = palette(stamps.stamp(item.name, *self.sizes[len(self.sizes) * 2 // 3], softness))
        padded_TKHW = np.zeros((len(self.sizes), len(self.colours_KC), *shape), dtype=np.float32)
        for place, (width, height) in enumerate(self.sizes):
            shown = stamps.stamp(item.name, width, height, softness)
            padded_TKHW[place, :, :height, :width] = layers(shown, self.colours_KC)
        self._spectrum = np.conj(np.fft.rfft2(padded_TKHW)).astype(np.complex64)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self._spectrum.nbytes

    def search(self, view: View) -> list[Found]:
        """As `Finder.search`."""
        colours_KC11 = self.colours_KC[:, :, None, None]
        if view.limits is not None:
            colours_KC11 = np.clip(colours_KC11, *view.limits)
        costs = [cost_of_planes(view.picture, colour_C11) for colour_C11 in colours_KC11]
        gain_KHW = np.maximum(view.present - np.stack(costs), view.least)
        spectrum = np.fft.rfft2(gain_KHW.astype(np.float32))
        total_THW = np.fft.irfft2(np.einsum("tkhw,khw->thw", self._spectrum, spectrum), s=self.shape)
        found = []
        for (width, height), total_HW in zip(self.sizes, total_THW, strict=True):
            inside_HW = total_HW[: self.shape[0] - height + 1, : self.shape[1] - width + 1].copy()
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


def seen_cost(
    seen_CHW: np.ndarray, shown: Stamp, ground_CHW: np.ndarray, limits: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """(H, W): what each pixel costs if the object is seen there, its soft edge mixed with the background."""
    expected_CHW = shown.clear * ground_CHW
    expected_CHW += shown.painted
    if limits is not None:
        np.clip(expected_CHW, *limits, out=expected_CHW)
    return cost_of_planes(seen_CHW, expected_CHW)


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


def _fits(place: Place, aspect: float, shape: tuple[int, ...]) -> bool:
    height, width = shape
    inside = 0 <= place.left <= width - place.width and 0 <= place.top <= height - place.height
    if not inside or min(place.width, place.height) < 2:
        return False
    stretch = place.width / place.height / aspect
    longest = max(place.width, place.height)
    return longest >= SHORTEST * math.sqrt(width * height) and 1 / MOST_STRETCH <= stretch <= MOST_STRETCH


def _sizes(aspect: float, shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Widths and heights to try: the longer side in even ratios, several aspects."""
    count = math.ceil(math.log(LONGEST / SHORTEST) / math.log(SIZE_STEP)) + 1
    seen = set()
    for number in range(count):
        longer = SHORTEST * math.sqrt(shape[0] * shape[1]) * (LONGEST / SHORTEST) ** (number / (count - 1))
        for factor in ASPECTS:
            stretched = aspect * factor
            width, height = (longer, longer / stretched) if stretched >= 1 else (longer * stretched, longer)
            size = (max(2, round(width)), max(2, round(height)))
            if size not in seen and size[0] <= shape[1] and size[1] <= shape[0]:
                seen.add(size)
                yield size


def _is_near(first: Place, second: Place) -> bool:
    """Whether a fit from one would come upon the other; in pixels of the small copy."""
    moved = max(abs(first.left - second.left), abs(first.top - second.top))
    grown = max(abs(first.width - second.width), abs(first.height - second.height))
    return max(moved, grown) <= APART
