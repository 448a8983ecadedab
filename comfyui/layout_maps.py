"""Layouts as pictures: a flat colour for each instance, depth from the order, and boxes drawn with their captions."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from occlusionformer.apps.drawing import draw_overlay, instance_colour
from occlusionformer.layout import Layout
from occlusionformer.layout.formats.listing import back_to_front
from occlusionformer.tensors.grid import TokenGrid, area_coverage, region_coverage

LARGEST_PREVIEW = 1024
"""Pixels of the longer side of a drawn layout."""


def footprint(layout: Layout, place: int) -> Tensor:
    """The pixels (height, width) of which an instance may fill half or more: of its region, else of its box."""
    grid, instance = TokenGrid(layout.height, layout.width), layout.instances[place]
    coverage = area_coverage(torch.tensor([list(instance.box)], dtype=torch.float64), grid)[0] >= 0.5
    if instance.region is not None:
        coverage = coverage & (region_coverage(instance.region, grid) >= 0.5)
    return coverage.unflatten(0, (grid.height, grid.width))


def colour_map(layout: Layout) -> Tensor:
    """One flat colour for each instance on black, those in front over those behind, (height, width, 3) from 0 to 1."""
    picture = torch.zeros(layout.height, layout.width, 3)
    for place in back_to_front(layout):
        picture[footprint(layout, place)] = torch.tensor(instance_colour(place)) / 255
    return picture


def depth_map(layout: Layout) -> Tensor:
    """Nearness from the order, (height, width, 3): 1 is the nearest, the background 0, steps between them equal."""
    picture = torch.zeros(layout.height, layout.width)
    places = back_to_front(layout)
    for rank, place in enumerate(places, start=1):
        picture[footprint(layout, place)] = rank / len(places)
    return picture[..., None].expand(-1, -1, 3).contiguous()


def drawn(layout: Layout) -> Tensor:
    """Boxes, captions and relations on grey, as the command line's overlay has them, (height, width, 3)."""
    scale = min(1.0, LARGEST_PREVIEW / max(layout.width, layout.height))
    size = (max(1, round(layout.width * scale)), max(1, round(layout.height * scale)))
    picture = draw_overlay(Image.new("RGB", size, (200, 200, 204)), layout)
    return torch.from_numpy(np.array(picture, dtype=np.float32) / 255)
