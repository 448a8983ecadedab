"""A small convolutional autoencoder with FLUX.1's latent geometry: 8 x 8 pixels become 16 numbers.

Space-to-depth by 4 and by 2 takes the place of strided convolutions, and every residual block starts as the identity,
which is what lets it learn in minutes what common designs of the same cost do not.
Arrays: B pictures, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, IdentityDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

STEEPNESS_WINDOW = 8
STEEPNESS_FLOOR = 0.01
"""Gradients, in values of -1 to 1, below which windows count as plain: roots have no slope at zero."""


class Residual(nn.Module):
    """x + conv(silu(conv(silu(x)))); the last convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.second(functional.silu(self.first(functional.silu(x_BCHW))))


class SceneAutoencoder(ModelMixin, ConfigMixin):
    """Pictures to latents an eighth of their size and back, behind the interface of diffusers' AutoencoderKL.

    A Flux pipeline takes the factor 8 from the number of `block_out_channels`; the first and last are the widths at a
    quarter and at an eighth of the size. `scaling_factor` and `shift_factor` are the pipeline's: it diffuses
    (latent - shift) * scaling, which has unit variance.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 16,
        block_out_channels: tuple[int, ...] = (64, 64, 128, 128),
        layers_per_block: int = 2,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        fine, coarse, pixels = block_out_channels[0], block_out_channels[-1], in_channels * 16
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(pixels, fine, 1),
            *(Residual(fine) for _ in range(layers_per_block)),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * fine, coarse, 1),
            *(Residual(coarse) for _ in range(layers_per_block)),
            nn.Conv2d(coarse, latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, coarse, 1),
            *(Residual(coarse) for _ in range(layers_per_block + 1)),
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(Residual(fine) for _ in range(layers_per_block + 1)),
            nn.Conv2d(fine, pixels, 1),
            nn.PixelShuffle(4),
        )

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[IdentityDistribution]:
        """Pixels (B, 3, H, W) in -1..1 to a distribution that always gives the same latents (B, 16, H/8, W/8)."""
        height, width = x.shape[-2:]
        if height % 8 or width % 8:
            raise ValueError(f"x: expected height and width in multiples of 8, got {height} and {width}")
        latents = IdentityDistribution(self.encoder(x))
        return AutoencoderKLOutput(latent_dist=latents) if return_dict else (latents,)

    def decode(self, z: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Latents back to pixels, (B, 3, H, W), about -1..1."""
        pixels = self.decoder(z)
        return DecoderOutput(sample=pixels) if return_dict else (pixels,)

    def forward(self, sample: Tensor) -> Tensor:
        """Encode and decode."""
        return self.decoder(self.encoder(sample))


def reconstruction_loss(pixels: Tensor, truth: Tensor, square_weight: float = 0.0) -> Tensor:
    """Mean absolute error of pixels and of their differences to the right and below: edges count as such.

    The mean square error of pixels is added with its weight.
    """
    error = pixels - truth
    across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    return error.abs().mean() + across.abs().mean() + down.abs().mean() + square_weight * error.square().mean()


def steepness_loss(pixels: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the root mean squares of gradients over windows of STEEPNESS_WINDOW pixels.

    It asks for edges as strong as the true ones and leaves open where in the window they are.
    """
    return (_steepness(pixels) - _steepness(truth)).abs().mean()


def _steepness(pixels_BCHW: Tensor) -> Tensor:
    across = pixels_BCHW[..., :-1, 1:] - pixels_BCHW[..., :-1, :-1]
    down = pixels_BCHW[..., 1:, :-1] - pixels_BCHW[..., :-1, :-1]
    energy = (across.square() + down.square()).mean(1, keepdim=True)
    return (functional.avg_pool2d(energy, STEEPNESS_WINDOW, STEEPNESS_WINDOW // 2) + STEEPNESS_FLOOR**2).sqrt()


def peak_signal_to_noise(pixels: Tensor, truth: Tensor) -> float:
    """PSNR in dB of pictures in -1..1, over all of them together."""
    error = (pixels.float().clamp(-1, 1) - truth.float()).square().mean()
    return float(10 * torch.log10(4 / error))
