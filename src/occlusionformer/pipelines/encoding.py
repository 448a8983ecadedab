"""Reading prompts and captions with a pipeline's two text encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
from diffusers.utils.peft_utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor

from occlusionformer.generation import instance_text
from occlusionformer.model import InstanceTexts, TextNeeds
from occlusionformer.pipelines.inputs import Layouts

INSTANCE_TEXTS_AT_ONCE = 64
"""Captions encoded in one pass: bounds memory however many instances a layout has."""


class LayoutReader(FluxPipeline):
    """The part of the pipeline that turns captions into embeddings."""

    def encode_instances(
        self, captions: Sequence[str], *, device: torch.device | None = None, lora_scale: float | None = None
    ) -> Tensor:
        """Pooled CLIP embedding of each text, (captions, pooled dim)."""
        if self.text_encoder is None or self.tokenizer is None:
            raise ValueError(
                "layout: expected a pipeline with text_encoder and tokenizer to read captions, or instance_embeds; "
                "got neither"
            )
        with _lora_scaled(self.text_encoder, lora_scale):
            return _in_chunks(lambda part: self._get_clip_prompt_embeds(prompt=part, device=device), captions)

    def encode_instance_sequences(
        self,
        captions: Sequence[str],
        tokens: int,
        *,
        device: torch.device | None = None,
        lora_scale: float | None = None,
    ) -> Tensor:
        """T5 embeddings of each text, padded or cut to so many tokens, (captions, tokens, text width)."""
        if self.text_encoder_2 is None or self.tokenizer_2 is None:
            raise ValueError(
                "layout: expected a pipeline with text_encoder_2 and tokenizer_2 to read captions, or instance_embeds; "
                "got neither"
            )
        with _lora_scaled(self.text_encoder_2, lora_scale):
            return _in_chunks(
                lambda part: self._get_t5_prompt_embeds(prompt=part, max_sequence_length=tokens, device=device),
                captions,
            )

    def encode_layouts(
        self, layouts: Layouts, needs: TextNeeds, *, prompt_tokens: int, lora_scale: float | None = None
    ) -> InstanceTexts:
        """What a method reads of the instances, all pictures in order; equal texts are encoded once.

        prompt_tokens: the length of the global prompt's sequence.
        """
        texts = [instance_text(entry) for layout in layouts if layout is not None for entry in layout.instances]
        row_of_text = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        rows = torch.tensor([row_of_text[text] for text in texts], dtype=torch.long)
        options: dict[str, Any] = {"device": self._execution_device, "lora_scale": lora_scale}
        tokens = prompt_tokens if needs.sequence_tokens == "prompt" else needs.sequence_tokens
        pooled = self.encode_instances(list(row_of_text), **options) if needs.pooled else None
        sequence = self.encode_instance_sequences(list(row_of_text), tokens, **options) if tokens else None
        return InstanceTexts(pooled_NP=pooled, sequence_NSE=sequence).rows(rows)


def _in_chunks(encode: Callable[[list[str]], Tensor], captions: Sequence[str]) -> Tensor:
    starts = range(0, len(captions), INSTANCE_TEXTS_AT_ONCE)
    return torch.cat([encode(list(captions[start : start + INSTANCE_TEXTS_AT_ONCE])) for start in starts])


@contextmanager
def _lora_scaled(encoder: torch.nn.Module, scale: float | None) -> Iterator[None]:
    """Weigh the user's LoRAs on a text encoder, as encode_prompt does."""
    if scale is None:
        yield
        return
    scale_lora_layers(encoder, scale)
    try:
        yield
    finally:
        unscale_lora_layers(encoder, scale)
