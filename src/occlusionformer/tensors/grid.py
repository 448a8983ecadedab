"""Which image tokens a region covers, and how much of each: the only rasteriser.

Legend: K instances of one layout, L tokens of one image (row-major), h x w the token grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from occlusionformer.layout import Polygon, RunLength
from occlusionformer.tensors.polygons import coverage_of_polygon
from occlusionformer.tensors.runs import coverage_of_runs, run_lengths


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


def published_corners(box_K4: Tensor) -> Tensor:
    """Corners as the published code reads them back, the first and the last point of a 6 x 6 lattice, (K, 4) in fp32.

    The last point is x1 + 5 ((x2 - x1) / 5): where a side falls on a token edge it may lie just below.
    """
    box_K4 = box_K4.float()
    low, high = box_K4[:, :2], box_K4[:, 2:]
    return torch.cat([low, low + 5 * ((high - low) / 5)], 1)


def published_footprint(box_K4: Tensor, grid: TokenGrid) -> Tensor:
    """Tokens the published code attends in each box, (K, L) bool: corners truncated, at least one cell a side."""
    corner_K4 = published_corners(box_K4)
    rows = _truncated_1d(corner_K4[:, 1], corner_K4[:, 3], grid.height)
    columns = _truncated_1d(corner_K4[:, 0], corner_K4[:, 2], grid.width)
    return (rows[:, :, None] & columns[:, None, :]).flatten(1)


def _truncated_1d(low_K: Tensor, high_K: Tensor, cells: int) -> Tensor:
    first = (low_K * cells).floor().clamp(max=cells - 1)
    last = torch.maximum((high_K * cells).floor(), first + 1)
    cell = torch.arange(cells, device=low_K.device)
    return (cell >= first[:, None]) & (cell < last[:, None])


def layout_token_ids(box_K4: Tensor, grid: TokenGrid) -> Tensor:
    """Rotary ids (0, y centre, x centre) of the layout tokens in token units, corners truncated first, (K, 3)."""
    corner_K4 = (box_K4 * box_K4.new_tensor([grid.width, grid.height, grid.width, grid.height])).floor()
    centre_K2 = (corner_K4[:, :2] + corner_K4[:, 2:]) / 2
    return torch.cat([torch.zeros_like(centre_K2[:, :1]), centre_K2.flip(1)], 1)


def published_soft_mask(box_K4: Tensor, grid: TokenGrid, pixels_per_token: int = 16) -> Tensor:
    """Compositing mask of the published code, (K, L) in {0, .25, .5, 1}.

    There a pixel mask is halved eightfold by bilinear interpolation without antialiasing and one of four
    sub-cells is kept, which leaves the mean of two pixels a side: those at offsets 3 and 4 of the cell.
    """
    rows = _two_pixel_mean(box_K4[:, 1], box_K4[:, 3], grid.height, pixels_per_token)
    columns = _two_pixel_mean(box_K4[:, 0], box_K4[:, 2], grid.width, pixels_per_token)
    return (rows[:, :, None] * columns[:, None, :]).flatten(1)


def _two_pixel_mean(low_K: Tensor, high_K: Tensor, cells: int, pixels: int) -> Tensor:
    first, last = ((side * (cells * pixels)).floor()[:, None] for side in (low_K, high_K))
    sample = torch.arange(cells, device=low_K.device) * pixels + pixels // 4
    covered = [((pixel >= first) & (pixel < last)).to(low_K.dtype) for pixel in (sample - 1, sample)]
    return (covered[0] + covered[1]) / 2


def region_coverage(region: Polygon | RunLength, grid: TokenGrid) -> Tensor:
    """Fraction (0..1) of every token's cell inside a region drawn on the whole canvas, (L,) float64.

    Costs as much as the region has corners or runs and the grid has tokens, whatever the size of its mask.
    """
    cells = (grid.height, grid.width)
    if isinstance(region, Polygon):
        share_hw = coverage_of_polygon(region.points, cells)
    else:
        share_hw = coverage_of_runs(run_lengths(region.counts), region.size, cells)
    return torch.from_numpy(share_hw).flatten()
