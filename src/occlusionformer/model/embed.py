"""One layout token per instance: its text and its box.

Legend: N instances, F box features, D channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlusionformer.model.config import BranchConfig

SMALLEST_SIDE = 2.0**-16
"""Of a box where something is divided by it, a pixel of the largest canvas: in fp32 a thinner one may have no width."""


def box_features(box_N4: Tensor, config: BranchConfig) -> Tensor:
    """Fourier features of a square lattice of points on each normalised xyxy box, (N, box_features).

    Ordered by frequency, then sine and cosine, then coordinate.
    """
    return fourier(box_points(box_N4, config.grid_points), config)


def box_points(box_N4: Tensor, points: int) -> Tensor:
    """A lattice of `points` a side on each box, (N, 2 * points ** 2): x outer, y inner, corners included."""
    step = torch.linspace(0, 1, points, dtype=box_N4.dtype, device=box_N4.device)
    x_NG = torch.lerp(box_N4[:, 0:1], box_N4[:, 2:3], step)
    y_NG = torch.lerp(box_N4[:, 1:2], box_N4[:, 3:4], step)
    lattice = torch.stack([x_NG[:, :, None].expand(-1, -1, points), y_NG[:, None, :].expand(-1, points, -1)], -1)
    return lattice.flatten(1)


def fourier(values_NC: Tensor, config: BranchConfig) -> Tensor:
    """sin and cos of values times base ** (k / count), (N, 2 * count * C)."""
    order = torch.arange(config.fourier_frequencies, dtype=values_NC.dtype, device=values_NC.device)
    frequency = config.fourier_base ** (order / config.fourier_frequencies)
    phase = frequency[:, None] * values_NC[:, None, :]
    return torch.stack([phase.sin(), phase.cos()], 2).flatten(1)


class LayoutEmbedder(nn.Module):
    """Layout token = MLP(MLP(text), box features)."""

    def __init__(self, config: BranchConfig) -> None:
        super().__init__()
        width = config.width
        self.text_in = nn.Linear(config.pooled_dim, width)
        self.text_out = nn.Linear(width, width)
        self.joint_in = nn.Linear(width + config.box_features, width // 2)
        self.joint_out = nn.Linear(width // 2, width)

    def forward(self, text_NP: Tensor, features_NF: Tensor) -> Tensor:
        text_ND = self.text_out(F.silu(self.text_in(text_NP)))
        return self.joint_out(F.silu(self.joint_in(torch.cat([text_ND, features_NF], -1))))
