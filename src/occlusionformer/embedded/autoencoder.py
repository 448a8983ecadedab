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
GRID = 8
"""Pixels between two lines of the grid that the decoder's own cells lie on."""
RGB = 3


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

    With `pixel_channels`, the decoder goes on at the size of the picture in so many channels, of which the first three
    are red, green and blue: what it shows does not fall apart into squares of four pixels then. They begin as they are.
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
        pixel_channels: int = 0,
    ) -> None:
        super().__init__()
        fine, coarse, pixels = block_out_channels[0], block_out_channels[-1], in_channels * 16
        if pixel_channels and pixel_channels < RGB:
            raise ValueError(f"pixel_channels: expected 0 or at least {RGB}, got {pixel_channels}")
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
            nn.Conv2d(fine, 16 * (pixel_channels or in_channels), 1),
            nn.PixelShuffle(4),
            *_at_full_size(pixel_channels, layers_per_block),
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


def _at_full_size(channels: int, layers: int) -> list[nn.Module]:
    """Blocks that work on the picture itself and begin as the identity of its colours."""
    if not channels:
        return []
    colours = nn.Conv2d(channels, RGB, 1, bias=False)
    with torch.no_grad():
        colours.weight.copy_(torch.eye(RGB, channels)[..., None, None])
    return [*(Residual(channels) for _ in range(layers)), colours]


def with_pixel_channels(model: SceneAutoencoder, channels: int) -> SceneAutoencoder:
    """The same autoencoder, whose decoder has so many channels at full size; it still shows the same pictures.

    Raises ValueError for fewer than it has.
    """
    had = model.config.pixel_channels
    if channels == had:
        return model
    if had:
        raise ValueError(f"pixel_channels: expected {had}, as the autoencoder has, got {channels}")
    settings = {name: value for name, value in model.config.items() if not name.startswith("_")}
    wider = SceneAutoencoder(**settings | {"pixel_channels": channels})
    state = wider.state_dict()
    for name, value in model.state_dict().items():
        state[name][: len(value)].copy_(value)
    wider.load_state_dict(state)
    return wider


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


def grid_loss(pixels: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the root mean squares of gradients on every GRID-th line of pixels, over whole crops.

    Edges that settle where the decoder's cells meet make some lines steeper than the true ones, and others plainer.
    """
    return (_on_lines(pixels) - _on_lines(truth)).abs().mean()


def _on_lines(pixels_BCHW: Tensor) -> Tensor:
    """(B, 2 GRID): of rows and columns GRID pixels apart, from each of the first GRID."""
    across, down = _gradients(pixels_BCHW)
    lines = [across.square().mean((1, 2)), down.square().mean((1, 3))]
    energy = [torch.stack([line_BL[:, first::GRID].mean(1) for first in range(GRID)], 1) for line_BL in lines]
    return (torch.cat(energy, 1) + STEEPNESS_FLOOR**2).sqrt()


def _gradients(pixels_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and below, where a pixel has both neighbours."""
    here = pixels_BCHW[..., :-1, :-1]
    return pixels_BCHW[..., :-1, 1:] - here, pixels_BCHW[..., 1:, :-1] - here


def _steepness(pixels_BCHW: Tensor) -> Tensor:
    across, down = _gradients(pixels_BCHW)
    energy = (across.square() + down.square()).mean(1, keepdim=True)
    return (functional.avg_pool2d(energy, STEEPNESS_WINDOW, STEEPNESS_WINDOW // 2) + STEEPNESS_FLOOR**2).sqrt()


def peak_signal_to_noise(pixels: Tensor, truth: Tensor) -> float:
    """PSNR in dB of pictures in -1..1, over all of them together."""
    error = (pixels.float().clamp(-1, 1) - truth.float()).square().mean()
    return float(10 * torch.log10(4 / error))
