"""Places the objects of a scene of the first world: sizes, positions, and how much each may hide of those behind.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from occlusionformer.data.placement import (
    CROWDED,
    FAR,
    NEAR,
    OPAQUE,
    TRIES_PER_OBJECT,
    TRIES_PER_SCENE,
    PlacedObject,
    Rectangle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from occlusionformer.data.artwork import ArtObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrangement:
    """The rules for one scene. Lengths in pixels."""

    size: int
    shortest: float
    longest: float
    stretch: float
    min_visible: float
    keep_apart: bool


def arrange(objects: Sequence[ArtObject], rules: Arrangement, rng: np.random.Generator) -> list[PlacedObject]:
    """Place the objects in turn, the farthest first. Raises ValueError if the rules leave no room."""
    nearness = 0.0 if rules.keep_apart else 1.0 if rng.random() < CROWDED else 0.5
    for _ in range(TRIES_PER_SCENE):
        placed: list[PlacedObject] = []
        visible: list[np.ndarray] = []
        for item in objects:
            found = _place_next(item, placed, visible, nearness, rules=rules, rng=rng)
            if found is None:
                break
            placed.append(found)
            visible = [mask & ~found.mask for mask in visible] + [found.mask]
        if len(placed) == len(objects):
            return placed
    raise ValueError(
        f"max_instances: expected few enough objects for the canvas, got {len(objects)} of {rules.shortest:g} to "
        f"{rules.longest:g} of {rules.size} pixels, each at least {rules.min_visible:.0%} in sight"
    )


def visible_masks(placed: Sequence[PlacedObject]) -> list[np.ndarray]:
    """Visible masks: each amodal mask without the masks in front of it."""
    if not placed:
        return []
    free_HW = np.ones_like(placed[0].mask)
    visible: list[np.ndarray] = []
    for item in reversed(placed):
        visible.append(item.mask & free_HW)
        free_HW = free_HW & ~item.mask
    return visible[::-1]


def _place_next(
    item: ArtObject,
    placed: list[PlacedObject],
    visible: list[np.ndarray],
    nearness: float,
    *,
    rules: Arrangement,
    rng: np.random.Generator,
) -> PlacedObject | None:
    """A place that leaves everything else enough in sight; each failed try lowers the greatest size of the next."""
    for attempt in range(TRIES_PER_OBJECT):
        width, height = _draw_sides(item.aspect, rules, 1 - attempt / TRIES_PER_OBJECT, rng)
        if placed and rng.random() < nearness:
            neighbour = placed[rng.integers(len(placed))].rectangle
            left, top = _draw_near(neighbour, width, height, size=rules.size, rng=rng)
        else:
            left, top = (int(rng.integers(rules.size - side + 1)) for side in (width, height))
        candidate = _render(item, Rectangle(left, top, width, height), rules.size)
        if _is_allowed(candidate, placed, visible, rules):
            return candidate
    return None


def _draw_sides(aspect: float, rules: Arrangement, ease: float, rng: np.random.Generator) -> tuple[int, int]:
    """Width and height: the longer side log-uniform up to a share `ease` of the range, the aspect nearly the own."""
    least, most = math.log(rules.shortest), math.log(rules.longest)
    longer = math.exp(rng.uniform(least, least + ease * (most - least)))
    stretched = aspect * rules.stretch ** rng.uniform(-1, 1)
    width, height = (longer, longer / stretched) if stretched >= 1 else (longer * stretched, longer)
    return max(1, round(width)), max(1, round(height))


def _draw_near(
    neighbour: Rectangle, width: int, height: int, *, size: int, rng: np.random.Generator
) -> tuple[int, int]:
    """A corner for a rectangle that partly overlaps its neighbour, moved inside the canvas where needed."""
    distance, angle = rng.uniform(NEAR, FAR), rng.uniform(0, 2 * math.pi)
    across, down = math.cos(angle), math.sin(angle)
    reach = distance / max(abs(across), abs(down))
    left = neighbour.left + neighbour.width / 2 + reach * across * (neighbour.width + width) / 2 - width / 2
    top = neighbour.top + neighbour.height / 2 + reach * down * (neighbour.height + height) / 2 - height / 2
    return min(max(round(left), 0), size - width), min(max(round(top), 0), size - height)


def _render(item: ArtObject, spot: Rectangle, size: int) -> PlacedObject:
    resized = item.picture.resize((spot.width, spot.height), Image.Resampling.BICUBIC)
    pixels_HWC = np.array(resized)
    # Bicubic overshoot can lift a premultiplied colour above its alpha, and the composite above white.
    np.minimum(pixels_HWC[..., :3], pixels_HWC[..., 3:], out=pixels_HWC[..., :3])
    mask_HW = np.zeros((size, size), dtype=bool)
    placed = PlacedObject(item, spot, pixels_HWC, mask_HW)
    mask_HW[placed.window] = pixels_HWC[..., 3] >= OPAQUE
    return placed


def _is_allowed(
    candidate: PlacedObject, placed: list[PlacedObject], visible: list[np.ndarray], rules: Arrangement
) -> bool:
    """Whether all objects stay enough in sight behind the candidate and, if asked for, none touches it."""
    newest = candidate.mask[candidate.window]
    if not newest.any():
        return False
    for item, seen in zip(placed, visible, strict=True):
        if rules.keep_apart and (item.mask[candidate.window] & newest).any():
            return False
        hidden = np.count_nonzero(seen[candidate.window] & newest)
        if hidden and np.count_nonzero(seen) - hidden < rules.min_visible * np.count_nonzero(item.mask):
            return False
    return True
