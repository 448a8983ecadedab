"""Where a branch's coarse pictures start: at those that the text table has, as the MLP that makes them is the same.

Legend: H hidden, L patches, K components, C channels, Q pixels of a patch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from occlusionformer.embedded.text import StaticTextModel
from occlusionformer.model.appearance import CHANNELS, AppearanceField


@torch.no_grad()
def copy_appearance(field: AppearanceField, text: StaticTextModel) -> None:
    """Fill the field with the table's looks. ValueError for a table without looks or with ones of another size."""
    if not text.config.num_looks or (size := pixels(text)) != field.side**2:
        found = size if text.config.num_looks else 0
        raise ValueError(f"text: expected looks of {field.side**2} pixels, got {found}")
    field.text_in.load_state_dict(text.look_in.state_dict())
    field.text_out.load_state_dict(text.look_mid.state_dict())
    field.picture.weight.copy_(pictures_of(text.look_out.weight.T.float(), text).T)
    field.picture.bias.copy_(pictures_of(text.look_out.bias.float(), text))


def pixels(text: StaticTextModel) -> int:
    """Of the picture whose patches are a table's looks."""
    return int(text.config.num_looks * text.config.look_pixels // CHANNELS)


def pictures_of(looks: Tensor, text: StaticTextModel) -> Tensor:
    """Pictures (..., C * A), channels first, from patches in components (..., L * K)."""
    across = round(text.config.num_looks**0.5)
    cell = round((text.config.look_pixels // CHANNELS) ** 0.5)
    patch_LQ = looks.unflatten(-1, (text.config.num_looks, -1)) @ text.look_axes.float()
    cells = patch_LQ.unflatten(-2, (across, across)).unflatten(-1, (CHANNELS, cell, cell))
    return cells.movedim(-3, -5).movedim(-2, -3).flatten(-5)
