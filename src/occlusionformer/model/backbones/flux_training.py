"""FLUX's attention as a CPU computes it fastest in bf16, for the blocks of a transformer that trains or draws so."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxAttention, FluxAttnProcessor
from torch import Tensor, nn

from occlusionformer.model.attention import rotation
from occlusionformer.model.backbones.streams import Linear, call
from occlusionformer.model.quick import computes_in_bf16, normed_and_turned, scaled_attention, trains_in_bf16, turnable

IMAGE = (("to_q", "norm_q"), ("to_k", "norm_k"), ("to_v", None))
TEXT = (("add_q_proj", "norm_added_q"), ("add_k_proj", "norm_added_k"), ("add_v_proj", None))
"""Names of the layers that make queries, keys and values, and of their norms."""


class TrainingAttnProcessor(FluxAttnProcessor):
    """Diffusers' own processor, but for training in bf16 on a CPU: then the same by other kernels (model/quick.py)."""

    acts_on = staticmethod(trains_in_bf16)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        if attention_mask is not None or image_rotary_emb is None or not is_quick(attn, hidden_states):
            outputs: Tensor | tuple[Tensor, Tensor] = super().__call__(
                attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
            )
            return outputs
        joint = quick_query_key_value(attn, hidden_states, encoder_hidden_states, image_rotary_emb)
        attended_BJD = quick_attention(*joint).flatten(2)
        if encoder_hidden_states is None:
            return attended_BJD
        text_BSD, image_BLD = attended_BJD.tensor_split([encoder_hidden_states.shape[1]], 1)
        return attn.to_out[1](attn.to_out[0](image_BLD)), attn.to_add_out(text_BSD)


class AutocastAttnProcessor(TrainingAttnProcessor):
    """As for training, and whenever autocast to bf16 is on, as while drawing in it."""

    acts_on = staticmethod(computes_in_bf16)


def speed_up_training(transformer: nn.Module) -> None:
    """Let a transformer's blocks train by faster kernels where there are any; their other attentions stay theirs."""
    _replace_processors(transformer, TrainingAttnProcessor)


def speed_up_autocast(transformer: nn.Module) -> None:
    """As speed_up_training, under autocast without gradients too."""
    _replace_processors(transformer, AutocastAttnProcessor)


def _replace_processors(transformer: nn.Module, kind: type[TrainingAttnProcessor]) -> None:
    for module in transformer.modules():
        if isinstance(module, FluxAttention) and type(module.processor) is FluxAttnProcessor:
            chosen = vars(module.processor)
            module.set_processor(kind())
            vars(module.processor).update(chosen)


def is_quick(attn: Any, x: Tensor) -> bool:
    """Whether an attention that reads x is one that was sped up, and now is when that helps."""
    if not isinstance(attn.processor, TrainingAttnProcessor):
        return False
    norms = [getattr(attn, name, None) for _, name in (*IMAGE, *TEXT) if name is not None]
    return (
        not attn.fused_projections
        and attn.processor.acts_on(x)
        and all(turnable(norm) for norm in norms if norm is not None)
    )


def quick_query_key_value(
    attn: Any, image_BLD: Tensor, text_BSD: Tensor | None, rotary: tuple[Tensor, Tensor], linear: Linear = call
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of [text; image], (B, J, H, E), normalised and rotated.

    Without text, of one sequence with the layers of the image.
    """
    rotation_JC = rotation(*rotary)
    if text_BSD is None:
        query, key, value = _projected(attn, IMAGE, image_BLD, rotation_JC, linear)
        return query, key, value
    count = text_BSD.shape[1]
    text = _projected(attn, TEXT, text_BSD, rotation_JC[..., :count, :], linear)
    image = _projected(attn, IMAGE, image_BLD, rotation_JC[..., count:, :], linear)
    query, key, value = (torch.cat(pair, 1) for pair in zip(text, image, strict=True))
    return query, key, value


def _projected(attn: Any, layers: Any, x_BJD: Tensor, rotation_JC: Tensor, linear: Linear) -> list[Tensor]:
    """Queries, keys and values (B, J, H, E), the first two normalised and rotated."""
    found = []
    for layer, norm in layers:
        x_BJHE = linear(f"attn.{layer}", getattr(attn, layer), x_BJD).unflatten(-1, (-1, attn.head_dim))
        found.append(x_BJHE if norm is None else normed_and_turned(getattr(attn, norm), x_BJHE, rotation_JC))
    return found


def quick_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Joint attention of (B, J, H, E), as is its output; mask as of scaled_attention."""
    query, key, value = (x_BJHE.transpose(1, 2) for x_BJHE in (query, key, value))
    return scaled_attention(query, key, value, mask).transpose(1, 2)
