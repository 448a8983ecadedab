"""What an instance's text says it looks like, looked up at its tokens' places in its box.

Legend: N instances, R rows, P pooled text, H hidden, C channels, A cells of the picture, S samples a side of a token,
F = S * S * C.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlusionformer.model.config import BranchConfig
from occlusionformer.model.embed import SMALLEST_SIDE
from occlusionformer.tensors.packing import PackedInstances

CHANNELS = 4
"""Of the picture: as many as premultiplied colour and coverage have."""
SAMPLES = 4
"""Places a side in every token at which the picture is looked up."""


class AppearanceField(nn.Module):
    """A coarse picture made of the pooled text and stretched over the box; zero outside it.

    A large backbone knows from its own training what things look like. One that is trained with its branch and on few
    images learns this far faster as a map from texts to pictures than in the weights of its blocks.
    """

    def __init__(self, config: BranchConfig) -> None:
        super().__init__()
        self.side, hidden = config.appearance_side, config.appearance_hidden
        self.text_in = nn.Linear(config.pooled_dim, hidden)
        self.text_out = nn.Linear(hidden, hidden)
        self.picture = nn.Linear(hidden, CHANNELS * self.side**2)

    def forward(self, text_NP: Tensor, packed: PackedInstances) -> Tensor:
        """The picture at the samples of every row, (R, F): row of samples after row. Rows must have owners."""
        assert packed.owner_R is not None
        hidden_NH = F.gelu(self.text_out(F.gelu(self.text_in(text_NP))))
        picture_NCA = self.picture(hidden_NH).unflatten(1, (CHANNELS, -1))
        box_R4, grid = packed.box_N4[packed.owner_R], packed.grid
        token_R = packed.pixel_R % grid.num_tokens
        across = self._cells(token_R % grid.width, grid.width, box_R4[:, 0], box_R4[:, 2])
        down = self._cells(token_R // grid.width, grid.height, box_R4[:, 1], box_R4[:, 3])
        picture_AC = picture_NCA.transpose(1, 2).flatten(0, 1)
        first_R = (packed.owner_R * self.side**2)[:, None, None]
        total_RSSC = picture_AC.new_zeros(())
        for row_RS, row_share_RS in down:
            for column_RS, column_share_RS in across:
                index_RSS = first_R + row_RS[:, :, None] * self.side + column_RS[:, None, :]
                share_RSS = row_share_RS[:, :, None] * column_share_RS[:, None, :]
                found_RSSC = picture_AC[index_RSS] * share_RSS[..., None].to(picture_AC.dtype)
                total_RSSC = total_RSSC + found_RSSC
        return total_RSSC.flatten(1).to(text_NP.dtype)

    def _cells(self, token_R: Tensor, count: int, low_R: Tensor, high_R: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Along one axis: the two cells that a sample lies between, and its share of each; none outside the box."""
        place_S = (torch.arange(SAMPLES, dtype=low_R.dtype, device=low_R.device) + 0.5) / SAMPLES
        inside_RS = (token_R[:, None] + place_S) / count - low_R[:, None]
        inside_RS = inside_RS / (high_R - low_R).clamp_min(SMALLEST_SIDE)[:, None]
        within_RS = ((inside_RS >= 0) & (inside_RS <= 1)).to(inside_RS.dtype)
        cell_RS = (inside_RS.clamp(0, 1) * self.side - 0.5).clamp(0, self.side - 1)
        lower_RS = cell_RS.floor()
        share_RS = cell_RS - lower_RS
        before_RS = lower_RS.long()
        after_RS = (before_RS + 1).clamp_max(self.side - 1)
        return [(before_RS, (1 - share_RS) * within_RS), (after_RS, share_RS * within_RS)]
