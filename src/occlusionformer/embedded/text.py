"""The embedded text encoder: one vector per word piece, of a sentence encoder and word vectors, taught a dictionary.

Arrays: B texts, S tokens, V word pieces, D channels, M known phrases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutputWithPooling

PACKAGED = Path(__file__).with_name("text")
SLOWEST = 1e4
"""Wavelength of the slowest sinusoid of a token's place, over 2 pi, in tokens (arXiv 1706.03762, section 3.5)."""


class StaticTextConfig(PretrainedConfig):
    """Shape of the table."""

    model_type = "static_text"

    def __init__(
        self,
        vocab_size: int = 32,
        hidden_size: int = 256,
        pad_token_id: int = 0,
        num_known: int = 0,
        sharpness: float = 25.0,
        positions: bool = False,
        **transformers_settings: Any,
    ) -> None:
        super().__init__(**transformers_settings)
        self.num_known = num_known
        self.sharpness = sharpness
        self.positions = positions
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.pad_token_id = pad_token_id


class StaticTextModel(PreTrainedModel):
    """Looks tokens up; serves a Flux pipeline as both of its text encoders.

    The sequence is the second encoder's output and the weighted mean over real tokens is the first one's. There is no
    attention: a token's vector does not depend on its neighbours, only, with `positions`, on its place. `weight` says
    how much a token counts in the mean: "rucksack" far more than "red". With `known` phrases, those that the image
    model was trained on, the mean is expressed by them: attention over the known phrases, by their cosine to it, so
    that a word never seen is read as the nearest that was. What is read is their `known_as`, the vectors that the image
    model learnt them by: a table that knows words better needs no other image model. Nothing of it is trained with the
    image model.
    """

    config_class = StaticTextConfig
    base_model_prefix = "static_text"
    main_input_name = "input_ids"
    config: StaticTextConfig
    table: Tensor

    def __init__(self, config: StaticTextConfig) -> None:
        super().__init__(config)
        self.register_buffer("table", torch.zeros(config.vocab_size, config.hidden_size, dtype=torch.int8))
        self.scale = nn.Parameter(torch.zeros(config.vocab_size, 1), requires_grad=False)
        self.weight = nn.Parameter(torch.ones(config.vocab_size, 1), requires_grad=False)
        self.known = nn.Parameter(torch.zeros(config.num_known, config.hidden_size), requires_grad=False)
        self.known_as = nn.Parameter(torch.zeros(config.num_known, config.hidden_size), requires_grad=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing is random: a table without weights is blank."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> BaseModelOutputWithPooling | tuple[Tensor, ...]:
        """Vectors (B, S, D), zero at padding, and their pooled mean (B, D).

        Entries of both have unit variance; places add another half to that of the vectors.

        Without a mask, tokens equal to `config.pad_token_id` are padding. A text of padding alone pools to zero.
        """
        is_token_BS = input_ids != self.config.pad_token_id if attention_mask is None else attention_mask.bool()
        rows_BSD = self.table[input_ids].to(self.scale.dtype) * self.scale[input_ids]
        rows_BSD = rows_BSD * is_token_BS.unsqueeze(-1)
        sum_BD = (rows_BSD.float() * self.weight[input_ids].float()).sum(dim=1)
        unit_BD = self._recalled(nn.functional.normalize(sum_BD, dim=-1))
        placed_BSD = self._placed(rows_BSD, is_token_BS)
        output = BaseModelOutputWithPooling(
            last_hidden_state=placed_BSD,
            pooler_output=(unit_BD * self.config.hidden_size**0.5).to(rows_BSD.dtype),
            hidden_states=(placed_BSD,) if output_hidden_states else None,
        )
        return output if return_dict else output.to_tuple()

    def _placed(self, rows_BSD: Tensor, is_token_BS: Tensor) -> Tensor:
        """With sinusoids of their places added, where the model has `positions`: Flux itself gives texts none."""
        if not self.config.positions:
            return rows_BSD
        place_S1 = torch.arange(rows_BSD.shape[1], device=rows_BSD.device)[:, None]
        half = self.config.hidden_size // 2
        angle_SH = place_S1 * SLOWEST ** (-torch.arange(half, device=rows_BSD.device) / half)
        wave_SD = torch.cat([angle_SH.sin(), angle_SH.cos()], dim=-1).to(rows_BSD.dtype)
        return rows_BSD + wave_SD * is_token_BS.unsqueeze(-1)

    def _recalled(self, unit_BD: Tensor) -> Tensor:
        """The direction that the known phrases near this one are known as; a text of padding alone stays zero.

        Text by text and in float64: a product over the batch would round differently with the batch's size, and
        what is encoded must not depend on what else is.
        """
        if not len(self.known) or not len(unit_BD):
            return unit_BD
        known_MD, known_as_MD = self.known.double(), self.known_as.double()
        found = []
        for unit_D in unit_BD.double():
            share_M = torch.softmax(self.config.sharpness * (known_MD @ unit_D), dim=0)
            found.append(nn.functional.normalize(share_M @ known_as_MD, dim=0) * unit_D.any())
        return torch.stack(found).to(unit_BD.dtype)


def packaged_text_model() -> StaticTextModel:
    """The table that ships with the package, in float32."""
    model: StaticTextModel = StaticTextModel.from_pretrained(PACKAGED, local_files_only=True)
    return model


def packaged_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-case WordPiece without start or end tokens, padded with zeros, at most 77 tokens."""
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(PACKAGED, local_files_only=True)
    return tokenizer
