"""Pixels as latents: an autoencoder's interface over an exact rearrangement, with nothing to learn."""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, IdentityDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor
from torch.nn import functional


class PixelCodec(ModelMixin, ConfigMixin):
    """Moves each square of pixels into the channels of one latent position, and back.

    A Flux pipeline takes the side of the square from the number of `block_out_channels`, 8 for four of them; their
    values mean nothing here. With the pipeline's own 2 by 2 packing, a token is a patch of 16 by 16 pixels.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 192,
        block_out_channels: tuple[int, ...] = (1, 1, 1, 1),
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch_side = 2 ** (len(block_out_channels) - 1)
        expected = in_channels * self.patch_side**2
        if latent_channels != expected:
            raise ValueError(
                f"latent_channels: expected {expected} ({in_channels} x {self.patch_side} x {self.patch_side}), "
                f"got {latent_channels}"
            )
        self.register_buffer("device_and_dtype", torch.zeros(1))

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[IdentityDistribution]:
        """Pixels (B, 3, H, W) in -1..1 to a distribution that always gives the same latents (B, 192, H/8, W/8)."""
        height, width = x.shape[-2:]
        if height % self.patch_side or width % self.patch_side:
            raise ValueError(
                f"x: expected height and width in multiples of {self.patch_side}, got {height} and {width}"
            )
        latents = IdentityDistribution(functional.pixel_unshuffle(x, self.patch_side))
        return AutoencoderKLOutput(latent_dist=latents) if return_dict else (latents,)

    def decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Latents back to pixels; the exact inverse of `encode`."""
        pixels = functional.pixel_shuffle(z, self.patch_side)
        return DecoderOutput(sample=pixels) if return_dict else (pixels,)

    def forward(self, sample: Tensor) -> Tensor:
        """Encode and decode: the identity."""
        (latents,) = self.encode(sample, return_dict=False)
        (pixels,) = self.decode(latents.mode(), return_dict=False)
        return pixels
