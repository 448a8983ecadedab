"""Pictures on their way: where the last denoising step points, decoded before the last noise is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from PIL.Image import Image
from torch import Tensor

from occlusionformer.pipelines.inputs import Canvas

if TYPE_CHECKING:
    from occlusionformer.pipelines.occlusionformer import OcclusionFormerPipeline


@dataclass
class StepExtrapolation:
    """Follows the latents of one batch from step to step."""

    canvas: Canvas
    _before: Tensor | None = field(default=None, init=False)

    def follow(self, pipeline: OcclusionFormerPipeline, step: int, latents: Tensor) -> Tensor | None:
        """The clean latents on the straight line through the last two states; None after the first step.

        Steps of a flow are straight in the noise level, so this is what the model predicted.
        """
        before, self._before = self._before, latents
        if before is None:
            return None
        level_before, level = (float(pipeline.scheduler.sigmas[place]) for place in (step, step + 1))
        return latents + (latents - before) * (level / (level_before - level))

    @torch.no_grad()
    def decode(self, pipeline: OcclusionFormerPipeline, clean: Tensor) -> list[Image]:
        """The pictures of predicted latents."""
        images: list[Image] = pipeline._decode(clean, self.canvas, "pil")
        return images


def decodes_on_the_way(pipeline: OcclusionFormerPipeline) -> bool:
    """Whether decoding between steps is cheap: an offloaded decoder would push the transformer out of memory."""
    return not hasattr(pipeline.vae, "_hf_hook")
