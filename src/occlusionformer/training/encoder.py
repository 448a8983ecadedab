"""From a batch of pictures, texts and layouts to what the model takes, by the pipeline's own encoders.

Legend: B samples, L tokens, C channels of a token, N instances, P pooled width, S text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from occlusionformer.model import InstanceTexts, PreparedLayouts, TextNeeds
from occlusionformer.model.precision import Precision
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.training.examples import Batch
from occlusionformer.training.objective import Conditions

KNOWN_CAPTIONS = 50_000
"""Captions whose embedding is kept."""
KNOWN_PROMPT_NUMBERS = 2**25
"""Numbers of prompts' embeddings that are kept, a quarter of a GB at most: of the prompts that were read last."""


class Encoder:
    """Reads with the encoders of a pipeline, which are never trained.

    precision: that of the training. In bf16 on a CPU, pictures are read in it too, in half the time; what it rounds,
    0.4% of a latent's deviation, is no more than what the model itself rounds.
    """

    def __init__(
        self,
        pipeline: OcclusionFormerPipeline,
        guidance: float | None,
        device: torch.device,
        precision: Precision = "no",
    ) -> None:
        self.pipeline, self.guidance, self.device = pipeline, guidance, device
        self._in_bf16 = device.type == "cpu" and precision == "bf16"
        self._captions: dict[str, tuple[Tensor | None, Tensor | None]] = {}
        self._prompts: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def pixels_per_token(self) -> int:
        return self.pipeline.vae_scale_factor * 2

    @torch.no_grad()
    def tokens(self, pixels_BCHW: Tensor) -> Tensor:
        """uint8 pixels as packed latents, (B, L, C) in float32: the most likely ones, not a draw."""
        vae = self.pipeline.vae
        pixels = pixels_BCHW.to(self.device).to(vae.dtype) / 127.5 - 1
        with torch.autocast("cpu", torch.bfloat16, enabled=self._in_bf16):
            latent = vae.encode(pixels, return_dict=False)[0].mode().to(vae.dtype)
        latent = (latent - vae.config.shift_factor) * vae.config.scaling_factor
        return self.pipeline._pack_latents(latent, *latent.shape).float()

    @torch.no_grad()
    def prompts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Text sequences (B, S, E) and pooled texts (B, P); those of the prompts read last are known."""
        unknown = [text for text in dict.fromkeys(prompts) if text not in self._prompts]
        if unknown:
            sequence, pooled, _ = self.pipeline.encode_prompt(
                prompt=unknown,
                prompt_2=None,
                device=self.device,
                max_sequence_length=self.pipeline.config.max_sequence_length,
            )
            read = ((row.clone(), vector.clone()) for row, vector in zip(sequence, pooled, strict=True))
            self._prompts |= dict(zip(unknown, read, strict=True))
        rows = [self._prompts[text] for text in prompts]
        self._prompts |= {text: self._prompts.pop(text) for text in dict.fromkeys(prompts)}
        most = KNOWN_PROMPT_NUMBERS // sum(x.numel() for x in rows[0])
        for text in list(self._prompts)[: max(0, len(self._prompts) - most)]:
            del self._prompts[text]
        return torch.stack([sequence for sequence, _ in rows]), torch.stack([pooled for _, pooled in rows])

    @torch.no_grad()
    def captions(self, captions: Sequence[str]) -> InstanceTexts:
        """What the method reads of instances, one row for each; equal texts are encoded once."""
        unknown = [text for text in dict.fromkeys(captions) if text not in self._captions]
        if len(self._captions) + len(unknown) > KNOWN_CAPTIONS:
            self._captions.clear()
            unknown = list(dict.fromkeys(captions))
        if unknown:
            self._captions |= dict(zip(unknown, self._encoded(unknown), strict=True))
        rows = [self._captions[text] for text in captions]
        return InstanceTexts(
            pooled_NP=self._stacked([pooled for pooled, _ in rows], self.needs.pooled),
            sequence_NSE=self._stacked([sequence for _, sequence in rows], bool(self.needs.sequence_tokens)),
        )

    @property
    def needs(self) -> TextNeeds:
        """What the method reads of every instance."""
        return self.pipeline.branch.texts

    def _encoded(self, texts: list[str]) -> Iterator[tuple[Tensor | None, Tensor | None]]:
        """Pooled vector and sequence of each text, None where the method does not read them."""
        none = [None] * len(texts)
        tokens = self.needs.sequence_tokens
        tokens = self.pipeline.config.max_sequence_length if tokens == "prompt" else tokens
        pooled = self.pipeline.encode_instances(texts, device=self.device) if self.needs.pooled else none
        sequence = self.pipeline.encode_instance_sequences(texts, tokens, device=self.device) if tokens else none
        return zip(pooled, sequence, strict=True)

    def _stacked(self, rows: list[Tensor | None], wanted: bool) -> Tensor | None:
        if not wanted:
            return None
        found = [row for row in rows if row is not None]
        return torch.stack(found) if found else torch.zeros(0, device=self.device)

    def clean(self, batch: Batch) -> Tensor:
        """The pictures of a batch as tokens, read from the cache where there is one."""
        if batch.encoded is None:
            return self.tokens(batch.pixels_BCHW)
        return torch.stack([item.tokens_LC for item in batch.encoded]).to(self.device, torch.float32)

    def conditions(self, batch: Batch) -> Conditions:
        if batch.encoded is None:
            prompt, pooled = self.prompts(batch.prompts)
            texts = self.captions(batch.captions)
        else:
            prompt = torch.stack([item.prompt_SE for item in batch.encoded]).to(self.device)
            pooled = torch.stack([item.pooled_P for item in batch.encoded]).to(self.device)
            texts = joined([item.texts for item in batch.encoded])
        texts = texts.shortened() if self.needs.shortened else texts
        count, grid = len(batch.draws), batch.grid
        guidance = self.guidance if self.pipeline.transformer.config.guidance_embeds else None
        return Conditions(
            prompt_BSE=prompt.float(),
            pooled_BP=pooled.float(),
            layout=PreparedLayouts(
                method=self.pipeline.branch,
                condition=None if batch.condition is None else batch.condition.to(self.device, torch.float32),
                layouts=batch.layouts,
                texts=texts.to(self.device, torch.float32),
                grid=grid,
                dtype=torch.float32,
            ),
            image_ids=self.pipeline._prepare_latent_image_ids(
                count, grid.height, grid.width, self.device, torch.float32
            ),
            guidance_B=None if guidance is None else torch.full((count,), guidance, device=self.device),
        )


def joined(texts: Sequence[InstanceTexts]) -> InstanceTexts:
    """The rows of several samples, one after the other."""
    pooled = [item.pooled_NP for item in texts if item.pooled_NP is not None]
    sequences = [item.sequence_NSE for item in texts if item.sequence_NSE is not None]
    return InstanceTexts(
        pooled_NP=torch.cat(pooled) if pooled else None, sequence_NSE=torch.cat(sequences) if sequences else None
    )
