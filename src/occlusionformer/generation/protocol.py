"""What every picture maker promises, whatever draws behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from occlusionformer.generation.request import GenerationRequest
from occlusionformer.generation.result import GeneratedImage
from occlusionformer.generation.vocabulary import Vocabulary

if TYPE_CHECKING:
    from PIL.Image import Image

StepCallback = Callable[[int, int], "bool | None"]
"""Called after each denoising step with (steps done, steps in all); returning False stops the generation."""


@dataclass(frozen=True, kw_only=True)
class FormingPictures:
    """Pictures on their way, after a denoising step."""

    step: int
    total: int
    positions: tuple[int, ...]
    """Places among the requests of the pictures that are being drawn now."""
    images: Callable[[], list[Image]]
    """What they will look like as far as the last step tells, in the order of `positions`; costs a decoding."""


PreviewCallback = Callable[[FormingPictures], None]
"""Called after each denoising step that has something to show, before `on_step`."""


@dataclass(frozen=True, kw_only=True)
class GenerationDefaults:
    """What a model takes where a request leaves the choice to it, and the canvases it can draw."""

    steps: int
    guidance: float
    grounding_ratio: float
    size: int
    """Side in pixels of the pictures the model was trained on."""
    side_multiple: int
    """Width and height have to be multiples of it, in pixels."""


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


@runtime_checkable
class PreviewingGenerator(Generator, Protocol):
    """Draws layouts, shows how they come along, and says what it does by default."""

    @property
    def defaults(self) -> GenerationDefaults: ...

    def generate_watched(
        self,
        requests: Sequence[GenerationRequest],
        *,
        on_step: StepCallback | None,
        on_preview: PreviewCallback | None,
    ) -> list[GeneratedImage]:
        """As `generate`; the pictures are the same to the last bit."""
        ...


@runtime_checkable
class NamingGenerator(Generator, Protocol):
    """Draws layouts, and knows by name what it can draw."""

    @property
    def vocabulary(self) -> Vocabulary: ...
