"""Which packaged object a visible mask belongs to, and where the whole of it lies: template matching, no learning.

Every object in every colour is laid over every box the hidden parts allow, at a coarse grid, in one matrix product; the
best few are then moved edge by edge at full resolution.

Arrays: H rows, W columns, C channels, K objects in their colours, M boxes, G cells of the coarse grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from itertools import product

import numpy as np

from occlusionformer.data.engine.contacts import PixelBox, mask_box
from occlusionformer.data.engine.models.protocol import MaskedPicture
from occlusionformer.data.world.artwork import Coloured, world_art
from occlusionformer.data.world.captions import with_article
from occlusionformer.data.world.layers import OPAQUE

GRID = 20
"""Cells along each side of the coarse comparison."""
EXTENSIONS = (0.0, 0.15, 0.35, 0.7, 1.2, 2.0)
"""How much longer than its visible part an object may be towards a side where something hides it."""
STRETCH = 1.25
"""Greatest factor between the aspect ratio of a box and of the picture laid over it."""
COLOUR_WEIGHT = 3.0
"""Squared colour differences, in 0..3, against mask differences, in 0..1."""
REFINED = 4
"""Objects that are compared at full resolution."""
REFINED_BOXES = 2
"""Candidate boxes kept for each of these objects."""
STEPS = (4, 2, 1)
"""Steps in pixels by which edges are moved, one round each."""
EXACT = 0.01
"""Cost below which nothing better is looked for."""
DOUBT = 0.5
"""Pixels of overlap that are taken for chance when two instances are put in order."""
VERSION = 2
"""Version of the matching procedure."""


def load(argument: str | None) -> NearestArt:
    """Load the packaged art; takes no argument."""
    if argument is not None:
        raise ValueError(f"model: expected nearest-art without an argument, got {argument!r}")
    return _packaged()


@lru_cache(maxsize=1)
def _packaged() -> NearestArt:
    """The art in all its colours, made ready once per process."""
    return NearestArt(world_art().in_colours())


@lru_cache(maxsize=1)
def revision_of(argument: str | None) -> str:
    """Revision of the packaged art and of the matching procedure."""
    digest = hashlib.sha256()
    for file in sorted((files("occlusionformer.data.world") / "art").iterdir(), key=lambda file: file.name):
        if file.name.endswith((".webp", ".json")):
            digest.update(file.name.encode() + file.read_bytes())
    return f"{VERSION}-{digest.hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class ArtMatch:
    """An object of the art fitted to an instance: its box in pixels, its mask, and the cost of the fit."""

    name: str
    box: PixelBox
    amodal: np.ndarray
    """(H, W) bool."""
    cost: float
    """Mean difference over the visible pixels; 0 is the object itself."""
    runner_up: float
    """Cost of the best other object."""


@dataclass(frozen=True, slots=True)
class _Coarse:
    """Objects on the coarse grid."""

    covers_KG: np.ndarray
    """1 where they are, else 0."""
    colours_KG: np.ndarray
    """Cells and channels flat, zero where they are not."""
    squares_KG: np.ndarray
    """Of the colours, summed over channels."""
    aspects_K: np.ndarray


class NearestArt:
    """Template matching against pictures of objects; captions, completes and orders instances."""

    def __init__(self, objects: Sequence[Coloured]) -> None:
        """An object in another colour is another one, under a name of its own."""
        self.objects = tuple(objects)
        self._named = {item.name: item for item in self.objects}

    @cached_property
    def _coarse(self) -> _Coarse:
        """Made when something is first matched, since it takes seconds: what is refused before costs none of it."""
        seen = np.stack([one.item.glimpse(GRID, one.colour) for one in self.objects])
        grids = seen.reshape(len(self.objects), -1, 4).astype(np.float32) / 255
        covers_KG = (grids[..., 3] >= OPAQUE / 255).astype(np.float32)
        colours = grids[..., :3] / np.maximum(grids[..., 3:], 1e-3) * covers_KG[..., None]
        return _Coarse(
            covers_KG=covers_KG,
            colours_KG=colours.reshape(len(self.objects), -1),
            squares_KG=(colours**2).sum(axis=-1),
            aspects_K=np.array([item.aspect for item in self.objects]),
        )

    @property
    def revision(self) -> str:
        return revision_of(None)

    def captions(self, view: MaskedPicture) -> list[str]:
        """The name of the nearest object for every instance."""
        return [with_article(match.name) for match in self._matches(view, range(len(view.ids)))]

    def complete(self, view: MaskedPicture, instances: Sequence[int]) -> np.ndarray:
        """The nearest objects' own shapes."""
        return np.stack([match.amodal for match in self._matches(view, instances)])

    def probabilities(self, view: MaskedPicture, pairs_P2: np.ndarray) -> np.ndarray:
        """Order probabilities (P, 2) from which object continues beneath the other, in pixels."""
        places = np.unique(pairs_P2).tolist()
        masks = {place: match.amodal for place, match in zip(places, self._matches(view, places), strict=True)}
        chances = []
        for first, second in pairs_P2.tolist():
            over, under = (masks[second] & view.masks[first]).sum(), (masks[first] & view.masks[second]).sum()
            chances.append((over / (over + under + DOUBT), under / (over + under + DOUBT)))
        return np.array(chances)

    def _matches(self, view: MaskedPicture, instances: Sequence[int]) -> list[ArtMatch]:
        return [self.find(view.image, view.masks[place], view.hiding(place)) for place in instances]

    def find(self, image_HWC: np.ndarray, visible_HW: np.ndarray, hiding_HW: np.ndarray) -> ArtMatch:
        """The object that explains the visible pixels best; it may go on where `hiding_HW` is set."""
        picture = image_HWC.astype(np.float32) / 255
        compared = _Comparison(picture, visible_HW, hiding_HW)
        best: list[tuple[float, str, PixelBox]] = []
        for boxes, steps in ((np.array([mask_box(visible_HW)]), ()), (candidate_boxes(visible_HW, hiding_HW), STEPS)):
            if best and (best[0][0] < EXACT or len(boxes) == 1):
                break
            cost_MK = self._coarse_costs(picture, visible_HW, hiding_HW, boxes)
            best = sorted(self._refined(compared, boxes, cost_MK, steps))
        cost, name, box = best[0]
        runner_up = next((other for other, different, _ in best if different != name), float("inf"))
        return ArtMatch(name, box, compared.mask(self._named[name], box) | visible_HW, cost, runner_up)

    def _refined(
        self, compared: _Comparison, boxes_M4: np.ndarray, cost_MK: np.ndarray, steps: Sequence[int]
    ) -> list[tuple[float, str, PixelBox]]:
        """The objects with the least coarse costs at full resolution; ever finer moves for ever fewer of them."""
        starts = []
        for place in np.argsort(cost_MK.min(axis=0), kind="stable")[:REFINED]:
            item = self.objects[place]
            for start in np.argsort(cost_MK[:, place], kind="stable")[:REFINED_BOXES]:
                box: PixelBox = tuple(boxes_M4[start].tolist())
                starts.append((compared.cost(item, box), item.name, box))
        found = sorted(starts)
        for step in steps:
            found = sorted(compared.moved(self._named[name], start=(cost, box), step=step) for cost, name, box in found)
            if found[0][0] < EXACT:
                break
            found = found[: -(-len(found) // 2)]
        return found

    def _coarse_costs(
        self, picture: np.ndarray, visible_HW: np.ndarray, hiding_HW: np.ndarray, boxes_M4: np.ndarray
    ) -> np.ndarray:
        """Summed differences in pixels of every object in every box: (M, K); infinite where it does not fit."""
        height, width = visible_HW.shape
        sides = (boxes_M4[:, 2:] - boxes_M4[:, :2]).astype(np.float64)
        centres = (np.arange(GRID) + 0.5) / GRID
        columns = np.clip((boxes_M4[:, :1] + centres * sides[:, :1]).astype(int), 0, width - 1)
        rows = np.clip((boxes_M4[:, 1:2] + centres * sides[:, 1:]).astype(int), 0, height - 1)
        layers = np.dstack([picture, visible_HW, ~(visible_HW | hiding_HW)]).astype(np.float32)
        cells = layers[rows[:, :, None], columns[:, None, :]].reshape(len(boxes_M4), -1, 5)
        seen_MG, free_MG, colour_MGC = cells[..., 3], cells[..., 4], cells[..., :3] * cells[..., 3:4]
        coarse = self._coarse
        difference = (
            (colour_MGC**2).sum(axis=-1) @ coarse.covers_KG.T
            - 2 * colour_MGC.reshape(len(boxes_M4), -1) @ coarse.colours_KG.T
            + seen_MG @ coarse.squares_KG.T
        )
        missing = seen_MG.sum(axis=1, keepdims=True) - seen_MG @ coarse.covers_KG.T
        cost_MK = (COLOUR_WEIGHT * difference + missing + free_MG @ coarse.covers_KG.T) * sides.prod(axis=1)[:, None]
        ratio_MK = (sides[:, :1] / sides[:, 1:]) / coarse.aspects_K[None]
        return np.where(np.maximum(ratio_MK, 1 / ratio_MK) <= STRETCH, cost_MK, np.inf)


class _Comparison:
    """One instance of one picture, against objects drawn at the size they would have."""

    def __init__(self, picture: np.ndarray, visible_HW: np.ndarray, hiding_HW: np.ndarray) -> None:
        self.picture, self.visible, self.hiding = picture, visible_HW, hiding_HW
        self.area = int(visible_HW.sum())
        self.free = ~(visible_HW | hiding_HW)

    def moved(self, item: Coloured, *, start: tuple[float, PixelBox], step: int) -> tuple[float, str, PixelBox]:
        """The least cost found by moving one edge, or the whole box, by `step` pixels as long as that helps."""
        least, box = start
        improved = True
        while improved:
            improved = False
            for move in _moves(step):
                candidate = (box[0] + move[0], box[1] + move[1], box[2] + move[2], box[3] + move[3])
                if _fits(candidate, item.aspect, self.visible.shape):
                    cost = self.cost(item, candidate)
                    if cost < least:
                        least, box, improved = cost, candidate, True
        return least, item.name, box

    def cost(self, item: Coloured, box: PixelBox) -> float:
        """Differences over the visible pixels, and where the object ought to be seen but is not, by visible pixel."""
        x1, y1, x2, y2 = box
        drawn = _rendered(item, x2 - x1, y2 - y1)
        window = (slice(y1, y2), slice(x1, x2))
        seen, covers = self.visible[window], drawn[..., 3] >= OPAQUE / 255
        both = seen & covers
        gap = drawn[..., :3][both] / drawn[..., 3:][both] - self.picture[window][both]
        missing = self.area - int(both.sum())
        extra = int((self.free[window] & covers).sum())
        return (COLOUR_WEIGHT * float(np.einsum("pc,pc->", gap, gap)) + missing + extra) / self.area

    def mask(self, item: Coloured, box: PixelBox) -> np.ndarray:
        """Where the object is, on the whole picture, without what would have to be seen and is not."""
        x1, y1, x2, y2 = box
        covers_HW = np.zeros_like(self.visible)
        covers_HW[y1:y2, x1:x2] = _rendered(item, x2 - x1, y2 - y1)[..., 3] >= OPAQUE / 255
        return covers_HW & ~self.free


def candidate_boxes(visible_HW: np.ndarray, hiding_HW: np.ndarray) -> np.ndarray:
    """Boxes around the visible part, longer towards sides where something hides the rest: (M, 4) int64."""
    height, width = visible_HW.shape
    x1, y1, x2, y2 = mask_box(visible_HW)
    if not hiding_HW.any():
        return np.array([[x1, y1, x2, y2]])
    left, top, right, bottom = mask_box(hiding_HW)
    across = [round(share * (x2 - x1)) for share in EXTENSIONS]
    down = [round(share * (y2 - y1)) for share in EXTENSIONS]
    choices = (
        sorted({max(x1 - more, min(left, x1), 0) for more in across}),
        sorted({max(y1 - more, min(top, y1), 0) for more in down}),
        sorted({min(x2 + more, max(right, x2), width) for more in across}),
        sorted({min(y2 + more, max(bottom, y2), height) for more in down}),
    )
    return np.array(list(product(*choices)), dtype=np.int64)


def _rendered(item: Coloured, width: int, height: int) -> np.ndarray:
    """Premultiplied colours and alpha in 0..1: (H, W, 4) float32."""
    return item.resized(width, height).astype(np.float32) / 255


def _moves(step: int) -> list[PixelBox]:
    """Each edge out and in, and the whole box to each side."""
    found = []
    for change in (-step, step):
        found += [(change, 0, 0, 0), (0, change, 0, 0), (0, 0, change, 0), (0, 0, 0, change)]
        found += [(change, 0, change, 0), (0, change, 0, change)]
    return found


def _fits(box: PixelBox, aspect: float, canvas: tuple[int, int]) -> bool:
    x1, y1, x2, y2 = box
    if not (0 <= x1 < x2 <= canvas[1] and 0 <= y1 < y2 <= canvas[0]):
        return False
    ratio = (x2 - x1) / (y2 - y1) / aspect
    return max(ratio, 1 / ratio) <= STRETCH
