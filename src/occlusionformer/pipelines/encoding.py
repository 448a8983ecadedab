"""Reading prompts and captions with a pipeline's two text encoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
from diffusers.utils.peft_utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor

from occlusionformer.generation import instance_text
from occlusionformer.pipelines.denoising import TextCondition
from occlusionformer.pipelines.inputs import Layouts, TextInputs

INSTANCE_TEXTS_AT_ONCE = 64
"""Captions encoded in one pass: bounds memory however many instances a layout has."""


class LayoutReader(FluxPipeline):
    """The part of the pipeline that turns texts into embeddings."""

    def encode_instances(
        self, captions: Sequence[str], *, device: torch.device | None = None, lora_scale: float | None = None
    ) -> Tensor:
        """Pooled CLIP embedding of each text, (captions, pooled dim)."""
        if self.text_encoder is None or self.tokenizer is None:
            raise ValueError("layout: expected a pipeline with text_encoder and tokenizer to read captions, got none")
        if lora_scale is not None:
            scale_lora_layers(self.text_encoder, lora_scale)
        chunks = [
            self._get_clip_prompt_embeds(prompt=list(captions[start : start + INSTANCE_TEXTS_AT_ONCE]), device=device)
            for start in range(0, len(captions), INSTANCE_TEXTS_AT_ONCE)
        ]
        if lora_scale is not None:
            unscale_lora_layers(self.text_encoder, lora_scale)
        return torch.cat(chunks)

    def _lora_scale_of_call(self) -> float | None:
        return self._joint_attention_kwargs.get("scale")

    def _encode_captions(self, layouts: Layouts) -> Tensor | None:
        """One row per instance, all pictures in order; equal texts are encoded once. None without instances."""
        texts = [instance_text(entry) for layout in layouts if layout is not None for entry in layout.instances]
        if not texts:
            return None
        row_of_text = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        pooled = self.encode_instances(
            list(row_of_text), device=self._execution_device, lora_scale=self._lora_scale_of_call()
        )
        return pooled[[row_of_text[text] for text in texts]]

    def _encode_texts(self, texts: TextInputs, num_images_per_prompt: int, max_sequence_length: int) -> TextCondition:
        """Embeddings made earlier are repeated like fresh ones."""
        embeds, pooled = texts.prompt_embeds, texts.pooled_prompt_embeds
        if embeds is not None and pooled is not None:
            embeds = embeds.repeat_interleave(num_images_per_prompt, 0)
            pooled = pooled.repeat_interleave(num_images_per_prompt, 0)
        embeds, pooled, ids = self.encode_prompt(
            prompt=texts.prompt,
            prompt_2=texts.prompt_2,
            device=self._execution_device,
            num_images_per_prompt=num_images_per_prompt,
            prompt_embeds=embeds,
            pooled_prompt_embeds=pooled,
            max_sequence_length=max_sequence_length,
            lora_scale=self._lora_scale_of_call(),
        )
        return TextCondition(embeds=embeds, pooled=pooled, ids=ids)
