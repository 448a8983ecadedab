"""What an instance's text says it looks like: a coarse picture, looked up where its tokens lie in its box."""

import math

import torch
from torch import Tensor

from tests.reference.regions import Box
from tests.reference.weights import Weights, affine

CHANNELS = 4
SAMPLES = 4
"""Places a side in a token: the middles of its quarters."""


def coarse_picture(weights: Weights, text_P: Tensor, side: int) -> Tensor:
    """(channels, side, side): two layers with GELU, and a third."""
    gelu = torch.nn.functional.gelu
    hidden = gelu(affine(weights.layout, "appearance.text_in", text_P))
    hidden = gelu(affine(weights.layout, "appearance.text_out", hidden))
    return affine(weights.layout, "appearance.picture", hidden).reshape(CHANNELS, side, side)


def looked_up(picture: Tensor, box: Box, token: int, height: int, width: int) -> Tensor:
    """(rows * columns * channels,) of the picture, stretched over the box, at a token's places; 0 outside the box."""
    found = []
    for row in range(SAMPLES):
        for column in range(SAMPLES):
            x = (token % width + (column + 0.5) / SAMPLES) / width
            y = (token // width + (row + 0.5) / SAMPLES) / height
            across, down = (x - box[0]) / (box[2] - box[0]), (y - box[1]) / (box[3] - box[1])
            is_inside = 0 <= across <= 1 and 0 <= down <= 1
            found.append(between_cells(picture, across, down) if is_inside else torch.zeros_like(picture[:, 0, 0]))
    return torch.cat(found)


def between_cells(picture: Tensor, across: float, down: float) -> Tensor:
    """(channels,) at a place, 0..1 along each side: of the four cells around it, by how near their middles are."""
    side = picture.shape[1]
    total = torch.zeros_like(picture[:, 0, 0])
    x, y = (min(max(place * side - 0.5, 0), side - 1) for place in (across, down))
    for row in range(side):
        for column in range(side):
            share = max(0.0, 1 - math.fabs(y - row)) * max(0.0, 1 - math.fabs(x - column))
            if share > 0:
                total = total + share * picture[:, row, column]
    return total
