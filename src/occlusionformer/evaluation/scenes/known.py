"""Pictures about which everything is known: true ones, and what can be wrong with one.

Every kind paints a scene as (H, W, C) uint8; what is random about it comes from the generator it is given.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from occlusionformer.data.world.layers import OPAQUE, PlacedObject, Rectangle, composite
from occlusionformer.evaluation.scenes.coloured import coloured_art
from occlusionformer.evaluation.scenes.layouts import BenchScene

Painting = Callable[[BenchScene, np.random.Generator], np.ndarray]

SOFT_BLUR, STRONG_BLUR = 2.0, 4.0
"""Radii in pixels of blurred pictures; a small model's are about as soft as the first."""
PIXEL = 4
"""Side in pixels of the squares of coarse pictures."""
DARK, DIM, BRIGHT = 0.7, 0.8, 1.3
WARM, COLD = (1.15, 1.0, 0.8), (0.8, 0.95, 1.15)
"""Factors on red, green and blue of tinted light."""
SQUARES = 8
"""Squares of a checkerboard along the canvas."""
STRANGERS, LEAST_STRANGER, MOST_STRANGER = 3, 0.3, 0.5
"""Objects that nobody asked for, and their longer side as a share of the canvas."""
HOLES, HOLE = 4, 0.14
"""Round holes in every object, and their radius as a share of its longer side."""
FAINT = 0.5
"""Opacity of objects that can be seen through."""
GRAIN = 25.0
"""Standard deviation of added noise, of 255."""
BLOTCHES = 12
"""Coloured blotches along the canvas."""


def _true(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.render()


def _reversed(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.render(scene.back_to_front[::-1])


def _shuffled(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.render([int(place) for place in rng.permutation(len(scene.placed))])


def _noise(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, scene.background.shape, dtype=np.uint8)


def _blotches(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    coarse = rng.integers(0, 256, (BLOTCHES, BLOTCHES, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(_size(scene), Image.Resampling.BICUBIC))


def _empty(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.backdrop()


def _lit(*factors: float) -> Painting:
    return lambda scene, rng: _whole(scene.render() * np.array(factors))


def _blurred(radius: float) -> Painting:
    return lambda scene, rng: np.asarray(Image.fromarray(scene.render()).filter(ImageFilter.GaussianBlur(radius)))


def _coarse(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    width, height = _size(scene)
    small = Image.fromarray(scene.render()).resize((width // PIXEL, height // PIXEL), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def _grainy(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    picture_HWC = scene.render()
    return _whole(picture_HWC + rng.normal(0, GRAIN, picture_HWC.shape))


def _before_checkerboard(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    width, height = _size(scene)
    side = max(1, max(width, height) // SQUARES)
    is_first = (np.arange(height)[:, None] // side + np.arange(width) // side) % 2 == 0
    first, second = rng.integers(0, 256, (2, 3))
    return _before(scene, np.where(is_first[..., None], first, second))


def _before_noise(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return _before(scene, rng.integers(0, 256, scene.background.shape))


def _before_another_colour(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return _before(scene, np.broadcast_to(rng.integers(0, 256, 3), scene.background.shape))


def _before_strangers(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    canvas_width, canvas_height = _size(scene)
    unasked = [item for item in coloured_art().objects if item.name not in scene.names]
    strangers = []
    for place in rng.choice(len(unasked), STRANGERS, replace=False):
        item = unasked[place]
        longer = rng.uniform(LEAST_STRANGER, MOST_STRANGER) * min(canvas_width, canvas_height)
        width, height = max(1, round(longer * min(1, item.aspect))), max(1, round(longer / max(1, item.aspect)))
        left, top = int(rng.integers(canvas_width - width + 1)), int(rng.integers(canvas_height - height + 1))
        pixels_HWC = np.array(item.picture.resize((width, height), Image.Resampling.BILINEAR))
        spot = Rectangle(left, top, width, height)
        strangers.append(
            PlacedObject(item, spot, pixels_HWC, pixels_HWC[..., 3] >= OPAQUE, (canvas_height, canvas_width))
        )
    return composite(scene.background, [*strangers, *(scene.placed[place] for place in scene.back_to_front)])


def _pierced(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    def opacity(height: int, width: int) -> np.ndarray:
        rows, columns = np.ogrid[:height, :width]
        whole_HW = np.ones((height, width))
        for _ in range(HOLES):
            row, column = rng.uniform(0.2, 0.8, 2) * (height, width)
            whole_HW[(rows - row) ** 2 + (columns - column) ** 2 < (HOLE * max(height, width)) ** 2] = 0
        return whole_HW

    return _faded(scene, opacity)


def _faint(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return _faded(scene, lambda height, width: np.full((height, width), FAINT))


def _of_other_colours(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    """Red becomes green, green blue, and blue red, in the objects alone."""
    turned = [replace(one, pixels=one.pixels[..., [2, 0, 1, 3]]) for one in scene.placed]
    return composite(scene.background, [turned[place] for place in scene.back_to_front])


def _faded(scene: BenchScene, opacity: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """The objects, each with its pixels times an opacity that is asked for by rows and columns."""
    faded = [
        replace(one, pixels=np.rint(one.pixels * opacity(*one.pixels.shape[:2])[..., None]).astype(np.uint8))
        for one in scene.placed
    ]
    return composite(scene.background, [faded[place] for place in scene.back_to_front])


def _before(scene: BenchScene, background_HWC: np.ndarray) -> np.ndarray:
    return composite(background_HWC.astype(np.float32), [scene.placed[place] for place in scene.back_to_front])


def _size(scene: BenchScene) -> tuple[int, int]:
    height, width = scene.background.shape[:2]
    return width, height


def _whole(values_HWC: np.ndarray) -> np.ndarray:
    whole_HWC: np.ndarray = np.clip(np.rint(values_HWC), 0, 255).astype(np.uint8)
    return whole_HWC


TRUE = "true renders"

ORDERS: Mapping[str, Painting] = {
    TRUE: _true,
    "reversed orders": _reversed,
    "random orders": _shuffled,
}
"""The objects where they should be, in some order."""

NOTHING: Mapping[str, Painting] = {
    "noise": _noise,
    "coloured blotches": _blotches,
    "background alone": _empty,
}
"""Pictures without objects."""

LIGHTS: Mapping[str, Painting] = {
    "70% brightness": _lit(DARK),
    "80% brightness": _lit(DIM),
    "130% brightness": _lit(BRIGHT),
    "warm light": _lit(*WARM),
    "cold light": _lit(*COLD),
}
"""The true picture in another light: nothing about its objects is wrong."""

DISTORTIONS: Mapping[str, Painting] = {
    "checkerboard as background": _before_checkerboard,
    "noise as background": _before_noise,
    "background of another colour": _before_another_colour,
    "unasked objects behind": _before_strangers,
    "holes in objects": _pierced,
    "objects half transparent": _faint,
    "objects of other colours": _of_other_colours,
    f"blur of {SOFT_BLUR:g} pixels": _blurred(SOFT_BLUR),
    f"blur of {STRONG_BLUR:g} pixels": _blurred(STRONG_BLUR),
    f"squares of {PIXEL} pixels": _coarse,
    "grain": _grainy,
}
"""Pictures in which something is wrong beside the order."""

KINDS: Mapping[str, Painting] = {**ORDERS, **NOTHING, **LIGHTS, **DISTORTIONS}
