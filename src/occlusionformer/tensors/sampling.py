"""Regions at single points: what code that samples a picture of the mask sees of it.

Legend: P points, V corners.
"""

from __future__ import annotations

import torch
from torch import Tensor

from occlusionformer.layout import Polygon, RunLength


def region_at(region: Polygon | RunLength, x_P: Tensor, y_P: Tensor) -> Tensor:
    """Whether points (fractions of the canvas, 0 <= x, y < 1) lie inside a region, (P,) bool.

    Polygons by the even-odd rule; of run lengths, the pixel that a point falls into. Costs points times corners, or
    points times the logarithm of the runs.
    """
    if isinstance(region, Polygon):
        return _inside_polygon(region, x_P, y_P)
    height, width = region.size
    row_P = (y_P * height).floor().long().clamp(0, height - 1)
    column_P = (x_P * width).floor().long().clamp(0, width - 1)
    ends = torch.tensor(region.run_lengths(), dtype=torch.long).cumsum(0)
    return torch.searchsorted(ends, column_P * height + row_P, right=True) % 2 == 1


def _inside_polygon(region: Polygon, x_P: Tensor, y_P: Tensor) -> Tensor:
    corner_V2 = torch.tensor(region.points, dtype=torch.float64)
    (x1, y1), (x2, y2) = corner_V2.unbind(1), corner_V2.roll(-1, 0).unbind(1)
    x_P1, y_P1 = x_P.double()[:, None], y_P.double()[:, None]
    crosses = (y_P1 >= torch.minimum(y1, y2)) & (y_P1 < torch.maximum(y1, y2))
    slope = torch.where(y1 == y2, 1.0, y2 - y1)
    left = x_P1 < x1 + (y_P1 - y1) * (x2 - x1) / slope
    return (crosses & left).sum(1) % 2 == 1
