"""Rectified flow: time 1 is noise, time 0 is data.

Legend: B samples, `...` any sample shape.
"""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(data: Tensor, noise: Tensor, time_B: Tensor) -> Tensor:
    """The straight path (1 - t) data + t noise."""
    t = _beside(time_B, data)
    return (1 - t) * data + t * noise


def velocity_target(data: Tensor, noise: Tensor) -> Tensor:
    """d(path)/dt = noise - data."""
    return noise - data


def velocity_from_sample(noisy: Tensor, sample: Tensor, time_B: Tensor) -> Tensor:
    """Velocity at `noisy` of a model that predicts the data; times must be positive."""
    precise = torch.promote_types(noisy.dtype, torch.float32)
    t = _beside(time_B, noisy).to(precise)
    return ((noisy.to(precise) - sample.to(precise)) / t).to(noisy.dtype)


def sample_from_velocity(noisy: Tensor, velocity: Tensor, time_B: Tensor) -> Tensor:
    """The data a velocity points to: noisy - t velocity."""
    return noisy - _beside(time_B, noisy) * velocity


def sample_timesteps(batch: int, *, mean: float, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Logit-normal times in (0, 1), (batch,); a larger mean spends more of them near noise."""
    device = generator.device if generator is not None else None
    return torch.sigmoid(mean + std * torch.randn(batch, generator=generator, device=device))


def _beside(time_B: Tensor, like: Tensor) -> Tensor:
    return time_B.reshape(-1, *[1] * (like.dim() - 1))
