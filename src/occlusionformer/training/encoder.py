"""From a batch of pictures, texts and layouts to what the model takes, by the pipeline's own encoders.

Legend: B samples, L tokens, C channels of a token, N instances, P pooled width, S text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from occlusionformer.model import InstanceTexts, PreparedLayouts
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.training.examples import Batch
from occlusionformer.training.objective import Conditions

KNOWN_CAPTIONS = 50_000
"""Captions whose embedding is kept; they recur, prompts do not."""


class Encoder:
    """Reads with the encoders of a pipeline, which are never trained."""

    def __init__(self, pipeline: OcclusionFormerPipeline, guidance: float | None, device: torch.device) -> None:
        self.pipeline, self.guidance, self.device = pipeline, guidance, device
        self._captions: dict[str, Tensor] = {}

    @property
    def pixels_per_token(self) -> int:
        return self.pipeline.vae_scale_factor * 2

    @torch.no_grad()
    def tokens(self, pixels_BCHW: Tensor) -> Tensor:
        """uint8 pixels as packed latents, (B, L, C) in float32: the most likely ones, not a draw."""
        vae = self.pipeline.vae
        pixels = pixels_BCHW.to(self.device).to(vae.dtype) / 127.5 - 1
        latent = vae.encode(pixels, return_dict=False)[0].mode()
        latent = (latent - vae.config.shift_factor) * vae.config.scaling_factor
        return self.pipeline._pack_latents(latent, *latent.shape).float()

    @torch.no_grad()
    def prompts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Text sequences (B, S, E) and pooled texts (B, P)."""
        sequence, pooled, _ = self.pipeline.encode_prompt(
            prompt=list(prompts),
            prompt_2=None,
            device=self.device,
            max_sequence_length=self.pipeline.config.max_sequence_length,
        )
        return sequence, pooled

    @torch.no_grad()
    def captions(self, captions: Sequence[str]) -> Tensor:
        """Pooled texts of instances, (N, P)."""
        unknown = [text for text in dict.fromkeys(captions) if text not in self._captions]
        if unknown:
            known = len(self._captions)
            if known + len(unknown) > KNOWN_CAPTIONS:
                self._captions.clear()
                unknown = list(dict.fromkeys(captions))
            rows = self.pipeline.encode_instances(unknown, device=self.device)
            self._captions.update(zip(unknown, rows, strict=True))
        return torch.stack([self._captions[text] for text in captions])

    def clean(self, batch: Batch) -> Tensor:
        """The pictures of a batch as tokens, read from the cache where there is one."""
        if batch.encoded is None:
            return self.tokens(batch.pixels_BCHW)
        return torch.stack([item.tokens_LC for item in batch.encoded]).to(self.device, torch.float32)

    def conditions(self, batch: Batch) -> Conditions:
        if batch.encoded is None:
            prompt, pooled = self.prompts(batch.prompts)
            text_NP = self.captions(batch.captions)
        else:
            prompt = torch.stack([item.prompt_SE for item in batch.encoded]).to(self.device)
            pooled = torch.stack([item.pooled_P for item in batch.encoded]).to(self.device)
            text_NP = torch.cat([item.captions_KP for item in batch.encoded]).to(self.device)
        count, grid = len(batch.draws), batch.grid
        guidance = self.guidance if self.pipeline.transformer.config.guidance_embeds else None
        return Conditions(
            prompt_BSE=prompt.float(),
            pooled_BP=pooled.float(),
            layout=PreparedLayouts(
                method=self.pipeline.branch,
                condition=batch.condition.to(self.device, torch.float32),
                layouts=batch.layouts,
                texts=InstanceTexts(pooled_NP=text_NP.float()),
                grid=grid,
                dtype=torch.float32,
            ),
            image_ids=self.pipeline._prepare_latent_image_ids(
                count, grid.height, grid.width, self.device, torch.float32
            ),
            guidance_B=None if guidance is None else torch.full((count,), guidance, device=self.device),
        )
