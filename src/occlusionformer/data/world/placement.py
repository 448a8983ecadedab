"""Where the objects of a scene go: sizes, positions, shadows, and how much each hides of the ones behind.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from occlusionformer.data.world.artwork import Coloured
from occlusionformer.data.world.layers import OPAQUE, PlacedObject, Rectangle, Shadow
from occlusionformer.layout.composed import PLACES

CROWDED = 0.5
"""Share of overlapping scenes in which every object is put near another; in the rest, every second one is."""
NEAR, FAR = 0.2, 0.9
"""Distance between the centres of neighbours, in half the sum of their sides: 0 is concentric, 1 is touching."""
TRIES_PER_OBJECT = 12
TRIES_PER_SCENE = 200
SHADOW_HEIGHT = 0.09
"""Half the height of a contact shadow, as a share of the object's width."""
SHADOW_DARKNESS = 0.42
"""Alpha of a shadow at its middle: below one half, so that no shadow counts as object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The rules for one scene. Lengths in pixels."""

    height: int
    width: int
    shortest: float
    longest: float
    stretch: float
    min_visible: float
    keep_apart: bool
    ground: float
    """Row (share of the height) from which on objects stand on something and cast a shadow; 1: none do."""


def arrange(choices: Sequence[Coloured], rules: Rules, rng: np.random.Generator) -> list[PlacedObject]:
    """Place the objects in turn, the farthest first. Raises ValueError if the rules leave no room."""
    nearness = 0.0 if rules.keep_apart else 1.0 if rng.random() < CROWDED else 0.5
    for _ in range(TRIES_PER_SCENE):
        placed: list[PlacedObject] = []
        seen: list[np.ndarray] = []
        for choice in choices:
            found = _place_next(choice, placed, seen, nearness, rules=rules, rng=rng)
            if found is None:
                break
            _hide(found, placed, seen)
            placed.append(found)
            seen.append(found.opaque.copy())
        if len(placed) == len(choices):
            return [replace(one, shadow=_shadow(one, rules)) for one in placed]
    raise ValueError(
        f"max_instances: expected few enough objects for the canvas, got {len(choices)} of {rules.shortest:g} to "
        f"{rules.longest:g} of {rules.width}x{rules.height} pixels, each at least {rules.min_visible:.0%} in sight"
    )


def compose(choices: Sequence[Coloured], rules: Rules) -> list[PlacedObject]:
    """The objects, the farthest first, at the places that they have when only their names are given."""
    found = []
    for choice, place in zip(choices, reversed(PLACES[: len(choices)]), strict=True):
        longer = place.side * min(rules.width, rules.height)
        width, height = (max(1, round(longer * part)) for part in (min(1, choice.aspect), min(1, 1 / choice.aspect)))
        left, top = round(place.across * rules.width - width / 2), round(place.down * rules.height - height / 2)
        pixels = choice.resized(width, height)
        spot = Rectangle(left, top, width, height)
        found.append(PlacedObject(choice, spot, pixels, pixels[..., 3] >= OPAQUE, (rules.height, rules.width)))
    return [replace(one, shadow=_shadow(one, rules)) for one in found]


def _shadow(placed: PlacedObject, rules: Rules) -> Shadow | None:
    """Window and alpha (H, W, 1) of the soft shadow where an object touches the ground; None above the ground."""
    spot = placed.rectangle
    bottom = spot.top + spot.height
    if bottom < rules.ground * rules.height:
        return None
    columns = np.flatnonzero(placed.opaque[-max(2, spot.height // 8) :].any(axis=0))
    if not len(columns):
        return None
    middle, half = spot.left + (columns[0] + columns[-1]) / 2, max(2.0, 0.62 * (columns[-1] - columns[0] + 1))
    high = max(1.5, SHADOW_HEIGHT * spot.width)
    top, end = max(0, int(bottom - 2 * high)), min(rules.height, int(bottom + 2 * high) + 1)
    left, right = max(0, int(middle - 1.5 * half)), min(rules.width, int(middle + 1.5 * half) + 1)
    if top >= end or left >= right:
        return None
    down = (np.arange(top, end) + 0.5 - bottom + 0.3 * high) / high
    across = (np.arange(left, right) + 0.5 - middle) / half
    distance = down[:, None] ** 2 + across[None, :] ** 2
    alpha = SHADOW_DARKNESS * np.exp(-1.6 * distance)
    return (slice(top, end), slice(left, right)), alpha[..., None].astype(np.float32)


def _place_next(
    choice: Coloured,
    placed: list[PlacedObject],
    seen: list[np.ndarray],
    nearness: float,
    *,
    rules: Rules,
    rng: np.random.Generator,
) -> PlacedObject | None:
    """A place that leaves everything else enough in sight; each failed try lowers the greatest size of the next."""
    for attempt in range(TRIES_PER_OBJECT):
        width, height = _draw_sides(choice.aspect, rules, 1 - attempt / TRIES_PER_OBJECT, rng)
        if placed and rng.random() < nearness:
            neighbour = placed[rng.integers(len(placed))].rectangle
            left, top = _draw_near(neighbour, width, height, rules, rng)
        else:
            left = int(rng.integers(rules.width - width + 1))
            top = int(rng.integers(rules.height - height + 1))
        spot = Rectangle(left, top, width, height)
        pixels = choice.resized(width, height)
        candidate = PlacedObject(choice, spot, pixels, pixels[..., 3] >= OPAQUE, (rules.height, rules.width))
        if _is_allowed(candidate, placed, seen, rules):
            return candidate
    return None


def _draw_sides(aspect: float, rules: Rules, ease: float, rng: np.random.Generator) -> tuple[int, int]:
    """Width and height: the longer side log-uniform up to a share `ease` of the range, the aspect nearly the own."""
    least, most = math.log(rules.shortest), math.log(rules.longest)
    longer = math.exp(rng.uniform(least, least + ease * (most - least)))
    stretched = aspect * rules.stretch ** rng.uniform(-1, 1)
    width, height = (longer, longer / stretched) if stretched >= 1 else (longer * stretched, longer)
    return min(max(1, round(width)), rules.width), min(max(1, round(height)), rules.height)


def _draw_near(
    neighbour: Rectangle, width: int, height: int, rules: Rules, rng: np.random.Generator
) -> tuple[int, int]:
    """A corner for a rectangle that partly overlaps its neighbour, moved inside the canvas where needed."""
    distance, angle = rng.uniform(NEAR, FAR), rng.uniform(0, 2 * math.pi)
    across, down = math.cos(angle), math.sin(angle)
    reach = distance / max(abs(across), abs(down))
    left = neighbour.left + neighbour.width / 2 + reach * across * (neighbour.width + width) / 2 - width / 2
    top = neighbour.top + neighbour.height / 2 + reach * down * (neighbour.height + height) / 2 - height / 2
    return min(max(round(left), 0), rules.width - width), min(max(round(top), 0), rules.height - height)


def _common(first: Rectangle, second: Rectangle) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """The rows and columns that two rectangles share, as windows into each; None where they do not meet."""
    top, left = max(first.top, second.top), max(first.left, second.left)
    end = min(first.top + first.height, second.top + second.height)
    right = min(first.left + first.width, second.left + second.width)
    if top >= end or left >= right:
        return None
    return (
        (slice(top - first.top, end - first.top), slice(left - first.left, right - first.left)),
        (slice(top - second.top, end - second.top), slice(left - second.left, right - second.left)),
    )


def _is_allowed(candidate: PlacedObject, placed: list[PlacedObject], seen: list[np.ndarray], rules: Rules) -> bool:
    """Whether all objects stay enough in sight behind the candidate and, if asked for, none touches it."""
    if not candidate.opaque.any():
        return False
    for item, visible in zip(placed, seen, strict=True):
        common = _common(candidate.rectangle, item.rectangle)
        if common is None:
            continue
        newest = candidate.opaque[common[0]]
        if rules.keep_apart and (item.opaque[common[1]] & newest).any():
            return False
        hidden = np.count_nonzero(visible[common[1]] & newest)
        if hidden and np.count_nonzero(visible) - hidden < rules.min_visible * np.count_nonzero(item.opaque):
            return False
    return True


def _hide(newest: PlacedObject, placed: list[PlacedObject], seen: list[np.ndarray]) -> None:
    """Take what the newest object hides out of what is seen of the others."""
    for item, visible in zip(placed, seen, strict=True):
        common = _common(newest.rectangle, item.rectangle)
        if common is not None:
            visible[common[1]] &= ~newest.opaque[common[0]]
