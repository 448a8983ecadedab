"""Previews of unfinished pictures: the clean picture predicted at the last denoising step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from occlusionformer.pictures import as_rgb
from occlusionformer.pipelines.inputs import CallCanvas

if TYPE_CHECKING:
    from occlusionformer.pipelines.occlusionformer import OcclusionFormerPipeline

Decode = Callable[[Tensor], list[Image.Image]]
"""From predicted latents to pictures."""


def predicted_latents(pipeline: OcclusionFormerPipeline, step: int, latents: Tensor, velocity: Tensor) -> Tensor:
    """The clean latents predicted at a step, from its velocity and the latents after it.

    Steps of a flow are straight in the noise level.
    """
    return latents - float(pipeline.scheduler.sigmas[step + 1]) * velocity


class Previews:
    """Makes latents of one pipeline visible: with its decoder where that is cheap, else with learned colours.

    An offloaded decoder would push the transformer out of the accelerator's memory at every step. The colours are a
    linear map from the channels of a latent position, learned from the first picture; until then there is nothing
    to see.
    """

    def __init__(self, pipeline: OcclusionFormerPipeline) -> None:
        self._pipeline = pipeline
        self._colours: Tensor | None = None

    def decoder(self, canvas: CallCanvas) -> Decode | None:
        """The decoder for a canvas; None while there is none."""
        if not self._is_offloaded:
            return partial(self._decode, canvas)
        return None if self._colours is None else partial(self._colour, canvas)

    def learn(self, canvas: CallCanvas, latents: Tensor, images: Sequence[Image.Image]) -> None:
        """From the latents of finished pictures; done once, and only where the colours are needed."""
        if self._is_offloaded and self._colours is None:
            channels_BHWC = self._channels(canvas, latents)
            _, rows, columns, _ = channels_BHWC.shape
            pixels_BCHW = torch.stack([torch.from_numpy(np.array(as_rgb(image))).permute(2, 0, 1) for image in images])
            seen_BCHW = adaptive_avg_pool2d(pixels_BCHW.float(), (rows, columns))
            seen_NC = seen_BCHW.permute(0, 2, 3, 1).reshape(-1, 3)
            self._colours = torch.linalg.lstsq(channels_BHWC.flatten(0, 2), seen_NC).solution

    @property
    def _is_offloaded(self) -> bool:
        return hasattr(self._pipeline.vae, "_hf_hook")

    @torch.no_grad()
    def _decode(self, canvas: CallCanvas, latents: Tensor) -> list[Image.Image]:
        pipeline = self._pipeline
        latents = pipeline._unpack_latents(latents, canvas.height, canvas.width, pipeline.vae_scale_factor)
        latents = latents / pipeline.vae.config.scaling_factor + pipeline.vae.config.shift_factor
        pixels = pipeline.vae.decode(latents, return_dict=False)[0]
        images: list[Image.Image] = pipeline.image_processor.postprocess(pixels, output_type="pil")
        return images

    def _colour(self, canvas: CallCanvas, latents: Tensor) -> list[Image.Image]:
        assert self._colours is not None
        pixels_BHWC = (self._channels(canvas, latents) @ self._colours).clamp(0, 255).byte().numpy()
        size = (canvas.width, canvas.height)
        return [Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC) for pixels in pixels_BHWC]

    def _channels(self, canvas: CallCanvas, latents: Tensor) -> Tensor:
        """(B, H, W, C + 1) on the CPU in fp32, the last channel 1."""
        pipeline = self._pipeline
        unpacked = pipeline._unpack_latents(latents, canvas.height, canvas.width, pipeline.vae_scale_factor)
        return pad(unpacked.float().cpu().permute(0, 2, 3, 1), (0, 1), value=1.0)
