"""Where the rows of an instance's text lie that show what it looks like, for a backbone that reads them at places.

In a prompt such rows have the places that the backbone was trained with; those of an instance's text fill its box.

Legend: B pictures, N instances of the batch, G tokens of an instance's text, E its width, P rows that show something,
M tokens of all texts of a picture, J of a joint attention.
"""

from __future__ import annotations

import torch
from torch import Tensor

from occlusionformer.methods.slots import Slots
from occlusionformer.model.backbones.text_places import box_ids
from occlusionformer.model.method import StepInputs
from occlusionformer.tensors.grid import TokenGrid


def look_rows(inputs: StepInputs) -> slice | None:
    """The rows of a text of one instance that show what it looks like; None for a backbone that reads none so."""
    if not inputs.text_places:
        return None
    first, patches = (int(number) for number in inputs.text_places[0][:2])
    return slice(first, first + patches**2)


def looks_in_boxes(box_N4: Tensor, grid: TokenGrid, inputs: StepInputs) -> Tensor:
    """Ids (N, P, 3) of those rows of every instance, over its box. Only for a backbone that has such rows."""
    return box_ids(box_N4, int(inputs.text_places[0][1]), grid.height, grid.width)


def ids_of_texts(ids_M3: Tensor, text_NGE: Tensor, slots: Slots, grid: TokenGrid, inputs: StepInputs) -> Tensor | None:
    """Ids (B, M, 3) of the texts of all slots: ids_M3, but over the box where a row shows what its instance looks like.

    Rows of zeros show nothing and stay where they were, so that shortened texts are placed as whole ones. None where
    the backbone reads no row so.
    """
    rows = look_rows(inputs)
    if rows is None:
        return None
    whole_NG3 = slots.box_N4.new_zeros(*text_NGE.shape[:2], 3)
    shows_NG1 = torch.zeros_like(whole_NG3[..., :1], dtype=torch.bool)
    shown_NP1 = text_NGE[:, rows].bool().any(-1, keepdim=True)
    shows_NG1[:, rows] = shown_NP1
    whole_NG3[:, rows] = looks_in_boxes(slots.box_N4, grid, inputs)[:, : shown_NP1.shape[1]]
    ids_BM3, shows_BM1 = (slots.spread(x, x.new_zeros(())).flatten(1, 2) for x in (whole_NG3, shows_NG1))
    return torch.where(shows_BM1, ids_BM3, ids_M3.to(ids_BM3))


def rotary_of(ids_BJ3: Tensor, inputs: StepInputs) -> tuple[Tensor, Tensor]:
    """The backbone's position tables of every picture, cos and sin (B, J, E)."""
    cos, sin = inputs.rotary(ids_BJ3.flatten(0, 1))
    return cos.unflatten(0, ids_BJ3.shape[:2]), sin.unflatten(0, ids_BJ3.shape[:2])
