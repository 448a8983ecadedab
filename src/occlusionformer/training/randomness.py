"""Times and noise of a sample: functions of the run's seed and the draw, whatever process or part it falls to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from occlusionformer.tensors import flow
from occlusionformer.training.config import ObjectiveConfig
from occlusionformer.training.sampler import Draw

STREAM = 0x9E3779B97F4A7C15
"""Odd, with well mixed bits: neighbouring draws start far apart."""


@dataclass(frozen=True)
class Randomness:
    """Times and noise for draws."""

    seed: int
    objective: ObjectiveConfig

    def times_and_noise(self, draws: Sequence[Draw], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Times (B,) and noise (B, *shape), on the CPU in float32."""
        times, noises = zip(*(self._one(draw, shape) for draw in draws), strict=True)
        return torch.cat(times), torch.stack(noises)

    def _one(self, draw: Draw, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        settings = self.objective
        number = draw.index if settings.fixed_noise else draw.ordinal
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number + 1) * STREAM % 2**63)
        time = flow.sample_timesteps(1, mean=settings.time_mean, std=settings.time_std, generator=generator)
        shift = settings.time_shift
        return shift * time / (1 + (shift - 1) * time), torch.randn(shape, generator=generator)
