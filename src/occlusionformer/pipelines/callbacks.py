"""The caller's function after each step, in FluxPipeline's loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

StepEndCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor]]
"""(pipeline, step, timestep, the tensors asked for) -> those that are to be replaced."""

STOCK_NAMES = {"velocity": "noise_pred"}
"""Tensors under names of their own: FluxPipeline shows its local variables."""


def shown_tensors(names: Sequence[str]) -> list[str]:
    """The names FluxPipeline knows."""
    return [STOCK_NAMES.get(name, name) for name in names]


def step_end(callback: StepEndCallback | None, names: Sequence[str]) -> StepEndCallback | None:
    """The callback as FluxPipeline calls it. TypeError where it gives no dict back."""
    if callback is None:
        return None

    def at_step_end(pipeline: Any, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        shown = {name: tensors[STOCK_NAMES.get(name, name)] for name in names}
        changed = callback(pipeline, step, timestep, shown)
        if not isinstance(changed, dict):
            raise TypeError(f"callback_on_step_end: expected a dict of tensors back, got {type(changed).__name__}")
        return changed

    return at_step_end
