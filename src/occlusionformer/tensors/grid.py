"""Which image tokens a region covers, and how much of each: the only rasteriser.

Legend: K instances of one layout, L tokens of one image (row-major), h x w the token grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from occlusionformer.layout import Polygon, RunLength

SUBSAMPLES = 8
"""Points a side at which a polygon is tested inside one token: coverage is exact to 1/64."""


@dataclass(frozen=True, slots=True)
class TokenGrid:
    """The image tokens of one canvas: `height` rows of `width` tokens."""

    height: int
    width: int

    @classmethod
    def from_pixels(cls, height: int, width: int, pixels_per_token: int = 16) -> TokenGrid:
        """The grid of a canvas; ValueError unless both sides are positive multiples of `pixels_per_token`."""
        problems = [
            f"{name}: expected a positive multiple of {pixels_per_token}, got {value}"
            for name, value in (("height", height), ("width", width))
            if value <= 0 or value % pixels_per_token
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return cls(height // pixels_per_token, width // pixels_per_token)

    @property
    def num_tokens(self) -> int:
        return self.height * self.width


def area_coverage(box_K4: Tensor, grid: TokenGrid) -> Tensor:
    """Fraction (0..1) of every token's cell that lies inside each normalised xyxy box, (K, L)."""
    across = _overlap_1d(box_K4[:, 0], box_K4[:, 2], grid.width)
    down = _overlap_1d(box_K4[:, 1], box_K4[:, 3], grid.height)
    return (down[:, :, None] * across[:, None, :]).flatten(1)


def _overlap_1d(low_K: Tensor, high_K: Tensor, cells: int) -> Tensor:
    edge = torch.arange(cells + 1, dtype=low_K.dtype, device=low_K.device)
    low, high = (low_K * cells)[:, None], (high_K * cells)[:, None]
    return (torch.minimum(high, edge[1:]) - torch.maximum(low, edge[:-1])).clamp(0, 1)


def published_footprint(box_K4: Tensor, grid: TokenGrid) -> Tensor:
    """Tokens the published code attends in each box, (K, L) bool: corners truncated, at least one cell a side."""
    rows = _truncated_1d(box_K4[:, 1], box_K4[:, 3], grid.height)
    columns = _truncated_1d(box_K4[:, 0], box_K4[:, 2], grid.width)
    return (rows[:, :, None] & columns[:, None, :]).flatten(1)


def _truncated_1d(low_K: Tensor, high_K: Tensor, cells: int) -> Tensor:
    first = (low_K * cells).floor().clamp(max=cells - 1)
    last = torch.maximum((high_K * cells).floor(), first + 1)
    cell = torch.arange(cells, device=low_K.device)
    return (cell >= first[:, None]) & (cell < last[:, None])


def published_soft_mask(box_K4: Tensor, grid: TokenGrid, pixels_per_token: int = 16) -> Tensor:
    """Compositing mask of the published code, (K, L) in {0, .25, .5, 1}.

    There a pixel mask is halved eightfold by bilinear interpolation without antialiasing and one of four
    sub-cells is kept, which leaves the mean of two pixels a side: those at offsets 3 and 4 of the cell.
    """
    rows = _two_pixel_mean(box_K4[:, 1], box_K4[:, 3], grid.height, pixels_per_token)
    columns = _two_pixel_mean(box_K4[:, 0], box_K4[:, 2], grid.width, pixels_per_token)
    return (rows[:, :, None] * columns[:, None, :]).flatten(1)


def _two_pixel_mean(low_K: Tensor, high_K: Tensor, cells: int, pixels: int) -> Tensor:
    first, last = ((side * cells * pixels).floor()[:, None] for side in (low_K, high_K))
    sample = torch.arange(cells, device=low_K.device) * pixels + pixels // 4
    covered = [((pixel >= first) & (pixel < last)).to(low_K.dtype) for pixel in (sample - 1, sample)]
    return (covered[0] + covered[1]) / 2


def region_coverage(region: Polygon | RunLength, grid: TokenGrid) -> Tensor:
    """Fraction (0..1) of every token's cell inside a region drawn on the whole canvas, (L,) float64."""
    if isinstance(region, Polygon):
        fine = _polygon_points(region, grid)
    else:
        fine = torch.tensor(region.rows(), dtype=torch.float64)
    rows, columns = fine.shape
    return (_shares(grid.height, rows) @ fine @ _shares(grid.width, columns).T).flatten()


def _shares(cells: int, pixels: int) -> Tensor:
    """How much of every cell each pixel of a side makes up, (cells, pixels); rows sum to 1."""
    edge = torch.arange(cells + 1, dtype=torch.float64) / cells
    return _overlap_1d(edge[:-1], edge[1:], pixels) * (cells / pixels)


def _polygon_points(region: Polygon, grid: TokenGrid) -> Tensor:
    """Even-odd test of a regular lattice of points, (h * SUBSAMPLES, w * SUBSAMPLES)."""
    rows, columns = grid.height * SUBSAMPLES, grid.width * SUBSAMPLES
    y = ((torch.arange(rows, dtype=torch.float64) + 0.5) / rows)[:, None]
    x = ((torch.arange(columns, dtype=torch.float64) + 0.5) / columns)[None, :]
    inside = torch.zeros(rows, columns, dtype=torch.bool)
    corners = list(region.points)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 != y2:
            crosses = (y >= min(y1, y2)) & (y < max(y1, y2))
            inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside.to(torch.float64)
