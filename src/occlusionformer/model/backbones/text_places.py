"""Rows of the text that show what something looks like lie in the picture, as FLUX.1 Kontext's reference tokens do.

Legend: S text tokens, L image tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

PlacedPatches = Sequence[float]
"""First row, patches a side (row after row), and of the square that they fill the centre, in shares of width and
height, and the side, in shares of the shorter side."""


def box_ids(box_N4: Tensor, patches: int, height: int, width: int) -> Tensor:
    """Ids (N, patches^2, 3) of squares of patches, row after row, that fill boxes; box_N4: xyxy in 0..1.

    height, width: of the canvas in tokens.
    """
    share = (torch.arange(patches, dtype=box_N4.dtype, device=box_N4.device) + 0.5) / patches
    across_NP = (box_N4[:, :1] + share * (box_N4[:, 2:3] - box_N4[:, :1])) * width - 0.5
    down_NP = (box_N4[:, 1:2] + share * (box_N4[:, 3:] - box_N4[:, 1:2])) * height - 0.5
    row_NPP = down_NP[:, :, None].expand(-1, -1, patches)
    column_NPP = across_NP[:, None, :].expand(-1, patches, -1)
    return torch.stack([torch.zeros_like(row_NPP), row_NPP, column_NPP], -1).flatten(1, 2)


def placed_ids(text_ids: Tensor, image_ids: Tensor, places: Sequence[PlacedPatches]) -> Tensor:
    """Ids of the text (S, 3) whose rows of patches lie at their centres; image_ids (L, 3): of a canvas, row by row.

    Rows beyond the text are left out: it may be shorter than what it has room for.
    """
    if not places:
        return text_ids
    found = text_ids.clone()
    height, width = (float(image_ids[:, axis].max()) + 1 for axis in (1, 2))
    for first, count, across, down, side in places:
        patches = int(count)
        step = side * min(height, width) / patches
        offset = (torch.arange(patches, dtype=found.dtype, device=found.device) - (patches - 1) / 2) * step
        row, column = torch.meshgrid(offset + down * height - 0.5, offset + across * width - 0.5, indexing="ij")
        room = found[int(first) : int(first) + patches**2]
        room[:, 1], room[:, 2] = row.flatten()[: len(room)], column.flatten()[: len(room)]
    return found
