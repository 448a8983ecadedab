"""What every picture maker promises, whatever draws behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from occlusionformer.generation.request import GenerationRequest
from occlusionformer.generation.result import GeneratedImage

StepCallback = Callable[[int, int], "bool | None"]
"""Called after each denoising step with (steps done, steps in all); returning False stops the generation."""


class GenerationInterruptedError(RuntimeError):
    """The caller's `on_step` returned False; a half-denoised picture is never handed out."""

    def __init__(self, step: int, total: int) -> None:
        super().__init__(f"generation stopped by the caller after step {step} of {total}")
        self.step = step
        self.total = total


@runtime_checkable
class Generator(Protocol):
    """Draws layouts."""

    def generate(
        self, requests: Sequence[GenerationRequest], *, on_step: StepCallback | None = None
    ) -> list[GeneratedImage]:
        """One picture per request, in their order; a picture depends on its own request alone.

        Raises GenerationInterruptedError when `on_step` returns False.
        """
        ...
