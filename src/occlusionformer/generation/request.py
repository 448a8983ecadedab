"""What is asked of a picture maker. Parsed once: a request that exists can be drawn."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

from occlusionformer.layout import Layout
from occlusionformer.layout.box import is_finite, is_number
from occlusionformer.layout.numeric import plain_number
from occlusionformer.layout.problems import shown

MAX_SEED = 2**63 - 1
"""The largest seed that torch's generators and JSON readers both keep."""

MAX_STEPS = 1000
"""Training knows 1000 noise levels; more steps than levels only repeat them."""

MAX_PIXELS = 4096 * 4096
"""A picture beyond this is a typing mistake rather than a wish."""

WHOLE_NUMBERS = ("seed", "width", "height", "steps")
NUMBERS = ("guidance", "grounding_ratio", "strength")
"""Fields of a request; numpy's numbers become Python's."""


class RequestError(ValueError):
    """A request that cannot be drawn; the text lists every problem, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One picture to draw. None leaves the choice to the layout (seed, size) or to the model (the rest)."""

    layout: Layout
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    grounding_ratio: float | None = None
    """Share of the steps, from the noisy end, on which the layout is obeyed."""
    strength: float = 1.0
    """Factor on everything the layout adds; 0 is the backbone alone."""
    nearest_size: bool = False
    """Whether a canvas that the model cannot draw is drawn in the nearest size that it can; otherwise it is refused."""
    want_masks: bool = False
    want_weights: bool = False

    def __post_init__(self) -> None:
        for name in WHOLE_NUMBERS + NUMBERS:
            object.__setattr__(self, name, plain_number(getattr(self, name)))
        problems = [
            *_layout_problems(self.layout),
            *_whole_number_problems("seed", self.seed, 0, MAX_SEED),
            *_whole_number_problems("width", self.width, 1, MAX_PIXELS),
            *_whole_number_problems("height", self.height, 1, MAX_PIXELS),
            *_whole_number_problems("steps", self.steps, 1, MAX_STEPS),
            *_number_problems("guidance", self.guidance, 0.0, math.inf),
            *_number_problems("grounding_ratio", self.grounding_ratio, 0.0, 1.0),
            *_number_problems("strength", self.strength, 0.0, math.inf),
        ]
        if self.strength is None:
            problems.append("strength: expected a number, got None")
        if not problems and self.canvas[0] * self.canvas[1] > MAX_PIXELS:
            problems.append(
                f"width, height: expected at most {MAX_PIXELS} pixels, got {self.canvas[0]} x {self.canvas[1]}"
            )
        if problems:
            raise RequestError(problems)

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height in pixels: what is asked for, else the layout's."""
        width = self.layout.width if self.width is None else self.width
        height = self.layout.height if self.height is None else self.height
        return width, height


def choose_seed(request: GenerationRequest) -> int:
    """The request's seed, else the layout's, else a fresh one: record it, or the picture cannot be repeated."""
    if request.seed is not None:
        return request.seed
    if request.layout.seed is not None:
        return request.layout.seed
    return secrets.randbits(32)


def _layout_problems(layout: object) -> list[str]:
    return [] if isinstance(layout, Layout) else [f"layout: expected a Layout, got {type(layout).__name__}"]


def _whole_number_problems(name: str, value: object, least: int, most: int) -> list[str]:
    if value is None or (type(value) is int and least <= value <= most):
        return []
    return [f"{name}: expected a whole number from {least} to {most}, got {_brief(value)}"]


def _number_problems(name: str, value: object, least: float, most: float) -> list[str]:
    if value is None or (is_number(value) and is_finite(value) and least <= value <= most):
        return []
    expected = f"a number from {least:g} to {most:g}" if most < math.inf else f"a finite number of at least {least:g}"
    return [f"{name}: expected {expected}, got {_brief(value)}"]


def _brief(value: object) -> str:
    return repr(value) if isinstance(value, bool) else shown(value)
