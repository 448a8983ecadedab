"""The embedded text encoder: one fixed vector per word piece, distilled from a sentence encoder.

Arrays: B texts, S tokens, V word pieces, D channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutputWithPooling

PACKAGED = Path(__file__).with_name("text")


class StaticTextConfig(PretrainedConfig):
    """Shape of the table."""

    model_type = "static_text"

    def __init__(
        self, vocab_size: int = 32, hidden_size: int = 256, pad_token_id: int = 0, **transformers_settings: Any
    ) -> None:
        super().__init__(**transformers_settings)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.pad_token_id = pad_token_id


class StaticTextModel(PreTrainedModel):
    """Looks tokens up; serves a Flux pipeline as both of its text encoders.

    The sequence is the second encoder's output and the mean over real tokens is the first one's. There is no
    attention: a token's vector does not depend on its neighbours. The rows are never trained.
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
        """Vectors (B, S, D), zero at padding, and their mean (B, D), scaled to entries of unit variance.

        Without a mask, tokens equal to `config.pad_token_id` are padding. A text without known words pools to zero.
        """
        is_token_BS = input_ids != self.config.pad_token_id if attention_mask is None else attention_mask.bool()
        rows_BSD = self.table[input_ids].to(self.scale.dtype) * self.scale[input_ids]
        rows_BSD = rows_BSD * is_token_BS.unsqueeze(-1)
        sum_BD = rows_BSD.float().sum(dim=1)
        unit_BD = nn.functional.normalize(sum_BD, dim=-1)
        output = BaseModelOutputWithPooling(
            last_hidden_state=rows_BSD,
            pooler_output=(unit_BD * self.config.hidden_size**0.5).to(rows_BSD.dtype),
            hidden_states=(rows_BSD,) if output_hidden_states else None,
        )
        return output if return_dict else output.to_tuple()


def packaged_text_model() -> StaticTextModel:
    """The table that ships with the package, in float32."""
    model: StaticTextModel = StaticTextModel.from_pretrained(PACKAGED, local_files_only=True)
    return model


def packaged_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-case WordPiece without start or end tokens, padded with zeros, at most 77 tokens."""
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(PACKAGED, local_files_only=True)
    return tokenizer
