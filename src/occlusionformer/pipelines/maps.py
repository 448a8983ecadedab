"""Converts per-instance maps from packed tokens to one array per picture.

Legend: N instances of the batch, K of one picture, L tokens, h x w the token grid, H x W the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from occlusionformer.layout import Layout
from occlusionformer.model import PreparedLayouts
from occlusionformer.pipelines.inputs import CallCanvas
from occlusionformer.tensors.grid import TokenGrid


def maps_of_report(
    prepared: PreparedLayouts, canvas: CallCanvas
) -> tuple[list[NDArray[np.float32]] | None, list[NDArray[np.float32]] | None]:
    """Masks (K, H, W) and weights (K, h, w) of every picture, from the last forward with the layout.

    None where they were not asked for.
    """
    report, grid, layouts = prepared.report, prepared.grid, prepared.layouts
    masks = foreground_probability(report.mask_logits) if prepared.want_masks else None
    weights = mean_over_blocks(report.weights) if prepared.want_weights else None
    size = (canvas.height, canvas.width)
    return maps_per_picture(masks, layouts, grid, size), maps_per_picture(weights, layouts, grid)


def foreground_probability(logits: Sequence[Tensor]) -> Tensor:
    """Mean over layout blocks of the probability of channel 1; logits (N, L, 2) each, result (N, L) in fp32."""
    return torch.stack([block.float().softmax(-1)[..., 1] for block in logits]).mean(0)


def mean_over_blocks(maps: Sequence[Tensor]) -> Tensor:
    """Mean of maps (N, L) over blocks, in fp32."""
    return torch.stack([block.float() for block in maps]).mean(0)


def maps_per_picture(
    maps_NL: Tensor | None,
    layouts: Sequence[Layout | None],
    grid: TokenGrid,
    canvas: tuple[int, int] | None = None,
) -> list[NDArray[np.float32]] | None:
    """Split over the pictures, (K, h, w) each; with a canvas (H, W) resized to it, (K, H, W).

    A picture without a layout has K = 0. None without maps.
    """
    if maps_NL is None:
        return None
    counts = [0 if layout is None else len(layout.instances) for layout in layouts]
    maps_NHW = maps_NL.reshape(-1, grid.height, grid.width)
    if canvas is not None:
        maps_NHW = interpolate(maps_NHW[:, None], size=canvas, mode="bilinear", align_corners=False)[:, 0]
    return [part.numpy() for part in maps_NHW.cpu().split(counts)]
