"""LaRender's volume rendering of planes (arXiv 2508.07647): densities, transmittance, contributions, composition.

Legend: N planes, L positions, ... leading dimensions (pictures, heads), C channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Schedule = Literal["inverse_proportional", "opaque", "unchanged"]
"""How densities change over the steps: with steps / (step + 1), times the number of steps, or not."""

LEAST_WEIGHT = 1e-6
"""Lower bound of the sum of contributions at a position: where nothing is, the composition is 0."""


def densities(alpha: Tensor, schedule: Schedule, *, progress: Tensor | float, steps: int) -> Tensor:
    """sigma = -ln(1 - alpha) times the schedule's factor; progress is (step + 1) / steps, 0 < progress <= 1."""
    density = -torch.log1p(-alpha)
    if schedule == "unchanged":
        return density
    return density * steps if schedule == "opaque" else density / progress


def stretched(map_NL: Tensor, *, minimum: float = 0.0) -> Tensor:
    """Every plane's values brought to minimum..1 over its positions; a constant map becomes all ones.

    The published code has minimum 0: the plane is not there at all at its least position.
    """
    low, high = map_NL.amin(-1, keepdim=True), map_NL.amax(-1, keepdim=True)
    span = high - low
    unit = torch.where(span > 0, (map_NL - low) / torch.where(span > 0, span, 1.0), 1.0)
    return minimum + (1 - minimum) * unit


def box_planes(box_N4: Tensor, height: int, width: int) -> Tensor:
    """1 inside each normalised xyxy box, corners truncated to positions, (N, L). ValueError for an empty one."""
    edge = (box_N4 * box_N4.new_tensor([width, height, width, height])).floor().long()
    empty = ((edge[:, 2] <= edge[:, 0]) | (edge[:, 3] <= edge[:, 1])).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"boxes: expected each to cover a position of {height} x {width}, got none at index {empty}")
    row, column = torch.arange(height), torch.arange(width)
    rows = (row >= edge[:, 1:2]) & (row < edge[:, 3:4])
    columns = (column >= edge[:, 0:1]) & (column < edge[:, 2:3])
    return (rows[:, :, None] & columns[:, None, :]).flatten(1).to(box_N4.dtype)


def transmittance(sigma_N: Tensor, plane_NL: Tensor, in_front_NN: Tensor) -> Tensor:
    """exp(- sum of sigma_j M_j over the planes j in front of i), (..., N, L); in_front[i, j]: j is in front of i."""
    return torch.exp(-(in_front_NN.to(plane_NL.dtype) @ (sigma_N[..., None] * plane_NL)))


def contributions(sigma_N: Tensor, plane_NL: Tensor, in_front_NN: Tensor) -> Tensor:
    """c_i = T_i (1 - exp(-sigma_i)) M_i, (..., N, L)."""
    opacity_N1 = -torch.expm1(-sigma_N)[..., None]
    return transmittance(sigma_N, plane_NL, in_front_NN) * opacity_N1 * plane_NL


def normalised(contribution_NL: Tensor) -> Tensor:
    """Contributions over their sum at each position, which is at least 1e-6."""
    return contribution_NL / contribution_NL.sum(-2, keepdim=True).clamp_min(LEAST_WEIGHT)


def composed(output_NLC: Tensor, contribution_NL: Tensor) -> Tensor:
    """The planes' outputs weighed at each position, (L, C)."""
    return (normalised(contribution_NL)[..., None] * output_NLC).sum(-3)
