"""Converts the share of steps on which a layout acts to a noise level."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps

TRAINING_TIMESTEPS = 1000
"""Scheduler timesteps run from 1000 (noise) to 0; the transformer takes them as 1 to 0."""

ROUNDING = 1e-6
"""By so much a share of the steps may fall short of a whole step: 0.57 * 100 is 56.99999999999999."""


def active_steps(ratio: float, steps: int, *, truncated: bool = False) -> int:
    """Steps, from the first, on which a layout acts: whole ones within the share, at least one of any share above 0.

    truncated: int(ratio * steps) as the released code has it, which may be no step at all.
    """
    if truncated or ratio <= 0:
        return int(ratio * steps)
    return max(1, math.floor(ratio * steps + ROUNDING))


def noise_levels(scheduler: Any, steps: int, sigmas: Sequence[float] | None, num_tokens: int) -> list[float]:
    """The noise level of every step, 1 being noise, as FluxPipeline sets its schedule; `scheduler` stays as it is."""
    scheduler, config = copy.deepcopy(scheduler), scheduler.config
    levels = np.linspace(1.0, 1 / steps, steps) if sigmas is None else sigmas
    shift = calculate_shift(
        num_tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    wanted = None if config.get("use_flow_sigmas", False) else levels
    timesteps, _ = retrieve_timesteps(scheduler, steps, "cpu", sigmas=wanted, mu=shift)
    return [float(timestep) / TRAINING_TIMESTEPS for timestep in timesteps]


def last_steps(levels: Sequence[float], steps: int, denoising_strength: float, order: int = 1) -> list[float]:
    """Those of the schedule that img2img and inpaint run at a `strength` of theirs."""
    skipped = int(max(steps - min(steps * denoising_strength, steps), 0))
    return list(levels[skipped * order :])


def level_between(levels: Sequence[float], active: int) -> float:
    """A noise level between the last active step and the next: 0 where all are active, 1 where none is."""
    if active <= 0:
        return 1.0
    return 0.0 if active >= len(levels) else (levels[active - 1] + levels[active]) / 2


def level_of_step(scheduler: Any, levels: Sequence[float]) -> Callable[[], float] | None:
    """Reads the noise level of the present step on the host; None for a scheduler that does not count its steps."""
    if not hasattr(scheduler, "step_index"):
        return None
    return lambda: levels[min(scheduler.step_index or 0, len(levels) - 1)]
