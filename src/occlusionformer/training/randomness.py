"""Times and noise of a sample: functions of the run's seed and the draw, whatever process or part it falls to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from occlusionformer.tensors import flow
from occlusionformer.training.config import ObjectiveConfig
from occlusionformer.training.sampler import Draw

STREAM = 0x9E3779B97F4A7C15
"""Odd, with well mixed bits: neighbouring draws start far apart."""


UNTURNED = 0.3
"""Share of captions that are left as they are."""


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
        if settings.pure_noise:
            time = torch.where(torch.rand(1, generator=generator) < settings.pure_noise, 1.0, time)
        shift = settings.time_shift
        return shift * time / (1 + (shift - 1) * time), torch.randn(shape, generator=generator)

    def turned_away(self, text_NP: Tensor, draws: Sequence[Draw], counts: Sequence[int]) -> Tensor:
        """Vectors of the same length in a random direction at a cosine of `least_likeness` to 1 to what they were.

        draws and counts: the samples and how many of the instances are theirs. A share of UNTURNED stays as it is.
        """
        least = self.objective.least_likeness
        parts = []
        for draw, own_KP in zip(draws, text_NP.split(list(counts)), strict=True):
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + draw.ordinal + 7) * STREAM % 2**63)
            unit_KP = functional.normalize(own_KP, dim=-1)
            away_KP = torch.randn(own_KP.shape, generator=generator).to(own_KP)
            away_KP = functional.normalize(away_KP - (away_KP * unit_KP).sum(-1, keepdim=True) * unit_KP, dim=-1)
            chances = torch.rand((2, len(own_KP), 1), generator=generator).to(own_KP)
            cosine_K1 = torch.where(chances[0] < UNTURNED, 1.0, 1 - (1 - least) * chances[1])
            turned_KP = cosine_K1 * unit_KP + (1 - cosine_K1.square()).clamp_min(0).sqrt() * away_KP
            parts.append(turned_KP * own_KP.norm(dim=-1, keepdim=True))
        return torch.cat(parts)
