"""The pixel codec is an exact rearrangement behind an autoencoder's interface."""

from __future__ import annotations

import pytest
import torch
from diffusers import FluxPipeline

from occlusionformer.embedded.codec import PixelCodec


@pytest.fixture
def codec() -> PixelCodec:
    return PixelCodec()


def pictures(height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_round_trip_is_bit_exact(codec):
    x = pictures()
    latents = codec.encode(x).latent_dist.sample()
    assert latents.shape == (2, 192, 4, 6)
    assert torch.equal(codec.decode(latents).sample, x)
    assert torch.equal(codec(x), x)


def test_sample_and_mode_agree_and_tuples_carry_the_same(codec):
    x = pictures()
    distribution = codec.encode(x).latent_dist
    assert torch.equal(distribution.sample(), distribution.mode())
    assert torch.equal(codec.encode(x, return_dict=False)[0].mode(), distribution.mode())
    latents = distribution.mode()
    assert torch.equal(codec.decode(latents, return_dict=False)[0], codec.decode(latents).sample)


def test_a_latent_position_holds_its_own_square_of_pixels_and_no_other(codec):
    x = torch.zeros(1, 3, 32, 32)
    x[0, :, 8:16, 24:32] = 1
    latents = codec.encode(x).latent_dist.mode()
    assert torch.equal(latents[0, :, 1, 3], torch.ones(192))
    assert latents.sum() == 192


def test_a_packed_token_is_a_patch_of_sixteen_pixels(codec):
    x = torch.zeros(1, 3, 32, 48)
    x[0, :, 16:32, 32:48] = 1
    latents = codec.encode(x).latent_dist.mode()
    tokens = FluxPipeline._pack_latents(latents, 1, 192, *latents.shape[-2:])
    assert tokens.shape == (1, 6, 768)
    assert torch.equal(tokens[0, 5], torch.ones(768))
    assert tokens.sum() == 768


@pytest.mark.parametrize(("height", "width"), [(31, 32), (32, 36)])
def test_sides_off_the_grid_are_refused(codec, height, width):
    with pytest.raises(ValueError, match=f"multiples of 8, got {height} and {width}"):
        codec.encode(pictures(height, width))


def test_inconsistent_channels_are_refused():
    with pytest.raises(ValueError, match=r"latent_channels: expected 192 \(3 x 8 x 8\), got 16"):
        PixelCodec(latent_channels=16)


def test_configuration_is_what_a_flux_pipeline_reads(codec):
    assert len(codec.config.block_out_channels) == 4
    assert (codec.config.scaling_factor, codec.config.shift_factor) == (1.0, 0.0)
    assert codec.dtype == torch.float32
    assert codec.device == torch.device("cpu")


def test_saved_equals_loaded(codec, tmp_path):
    codec.save_pretrained(tmp_path)
    loaded = PixelCodec.from_pretrained(tmp_path)
    assert dict(loaded.config)["latent_channels"] == 192
    assert torch.equal(loaded.encode(pictures()).latent_dist.mode(), codec.encode(pictures()).latent_dist.mode())


def test_dtype_follows_the_input(codec):
    assert codec(pictures().to(torch.float16)).dtype == torch.float16
