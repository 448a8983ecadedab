"""Inputs of InstaOrder's networks: two masks and the picture, cut out and resized as in training.

Boxes are whole pixels x, y, width, height and may reach beyond the picture, where everything is 0. Arrays: H rows,
W columns, S side of the network's input.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
INSTANCE_FACTOR = 3.0
"""Around one instance the square has three times the area of its box."""
PAIR_FACTOR = 2.0
LEAST_MARGIN = 1.1


class PatchWindow(NamedTuple):
    """A rectangle of the picture."""

    x: int
    y: int
    width: int
    height: int


def tight(mask_HW: np.ndarray) -> PatchWindow:
    """The smallest rectangle around the set pixels; there must be one."""
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return PatchWindow(int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)


def square_around(window: PatchWindow, factor: float) -> PatchWindow:
    """A square around the centre, of `factor` times the area and at least a tenth longer than the longer side."""
    x, y, width, height = window
    side = max(np.sqrt(factor * width * height), LEAST_MARGIN * width, LEAST_MARGIN * height)
    return PatchWindow(int(x + width / 2 - side / 2), int(y + height / 2 - side / 2), int(side), int(side))


def pair_window(first: PatchWindow, second: PatchWindow) -> PatchWindow:
    """The window that InstaOrderNet_o gets for the order of two instances."""
    a, b = square_around(first, INSTANCE_FACTOR), square_around(second, INSTANCE_FACTOR)
    left, top = min(a.x, b.x), min(a.y, b.y)
    right, bottom = max(a.x + a.width, b.x + b.width), max(a.y + a.height, b.y + b.height)
    return square_around(PatchWindow(left, top, right - left, bottom - top), PAIR_FACTOR)


def cut(array: np.ndarray, window: PatchWindow) -> np.ndarray:
    """The window of an array of rows and columns, with zeros outside of it."""
    height, width = array.shape[:2]
    out = np.zeros((window.height, window.width, *array.shape[2:]), array.dtype)
    top, left = max(0, window.y), max(0, window.x)
    bottom, right = min(height, window.y + window.height), min(width, window.x + window.width)
    if top < bottom and left < right:
        inside = array[top:bottom, left:right]
        out[top - window.y : bottom - window.y, left - window.x : right - window.x] = inside
    return out


def picture_input(image_HW3: np.ndarray, side: int) -> Tensor:
    """(3, S, S): resized with a cubic kernel (a = -0.75, no smoothing), rounded to bytes, normalised."""
    values_13HW = torch.from_numpy(np.ascontiguousarray(image_HW3)).float().permute(2, 0, 1)[None]
    resized_3SS = functional.interpolate(values_13HW, (side, side), mode="bicubic")[0].round().clamp(0, 255) / 255
    mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
    return (resized_3SS - mean) / deviation


def mask_input(mask_HW: np.ndarray, side: int) -> Tensor:
    """(S, S): 0 and 1, each pixel taken from the nearest one."""
    values_11HW = torch.from_numpy(np.ascontiguousarray(mask_HW)).float()[None, None]
    return functional.interpolate(values_11HW, (side, side), mode="nearest")[0, 0]
