"""The request of a drawing command, built and checked before a model is loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from occlusionformer.apps.cli.console import RefusedError, problems_of
from occlusionformer.apps.cli.output_files import picture_problems
from occlusionformer.apps.cli.progress import drawing_progress
from occlusionformer.apps.cli.sources import SourceOptions, size_of
from occlusionformer.generation import (
    CanvasError,
    GeneratedImage,
    GenerationRequest,
    Provenance,
    generator_names,
    load_generator,
    request_to_repeat,
)
from occlusionformer.generation.computing import ComputedIn, computed_in, parse_computed_in

DEFAULT_MODEL = "embedded"

NEAREST = "nearest"
"""A --size: that of the layout, or the nearest that the model can draw."""


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """Numbers given on the command line; None takes that of the repeated picture, the layout or the model."""

    seed: int | None
    steps: int | None
    guidance: float | None
    grounding_ratio: float | None
    strength: float | None
    size: str | None

    def applied_to(self, request: GenerationRequest) -> GenerationRequest:
        """Raises ValueError for a number out of its range."""
        is_nearest = self.size == NEAREST
        width, height = size_of("size", None if is_nearest else self.size)
        numbers = {name: getattr(self, name) for name in ("seed", "steps", "guidance", "grounding_ratio", "strength")}
        asked = {**numbers, "width": width, "height": height, "nearest_size": is_nearest}
        return replace(request, **{name: value for name, value in asked.items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class DrawRequest:
    """What to draw, and with which model."""

    request: GenerationRequest
    model: str
    precision: ComputedIn | None
    """None leaves it to the model."""
    record: Provenance | None
    """Provenance of the picture to repeat, if the source is a picture."""


def draw_request_for(
    source: Path,
    output: Path,
    *,
    reading: SourceOptions,
    settings: DrawSettings,
    model: str | None,
    precision: str | None,
) -> DrawRequest:
    """Read and check everything. Raises ValueError with all problems found."""
    problems = picture_problems("output", output)
    try:
        chosen = None if precision is None else parse_computed_in(precision)
    except ValueError as error:
        problems += problems_of(error)
    try:
        read = reading.read(source, one=True)
        record = read.record
        request = GenerationRequest(layout=read.layout()) if record is None else request_to_repeat(record)
        request = settings.applied_to(request)
    except ValueError as error:
        problems += problems_of(error)
    if problems:
        raise RefusedError(problems)
    named = _model_of(record) if model is None else model
    if record is not None and chosen is None and named.partition(":")[0] == DEFAULT_MODEL:
        chosen = computed_in(record["dtype"])
    return DrawRequest(request=request, model=named, precision=chosen, record=record)


def _model_of(record: Provenance | None) -> str:
    """The model of a picture that is to be repeated.

    Files and folders are not opened because a picture names them: it may come from anybody. RefusedError for those.
    """
    named = DEFAULT_MODEL if record is None else record["model"]
    if named not in generator_names():
        raise RefusedError(
            [f"model: the picture names {named!r:.300}, which is used only when you name it too, with --model"]
        )
    return named


def draw(
    requests: Sequence[GenerationRequest], model: str, precision: ComputedIn | None = None
) -> list[GeneratedImage]:
    """Load the model and draw, with a progress bar; Ctrl-C ends it within a step."""
    with drawing_progress() as progress:
        with without_garbage_collection():
            generator = load_generator(model, precision=precision)
        try:
            return generator.generate(requests, on_step=progress.on_step)
        except CanvasError as error:
            width, height = error.nearest
            hint = f"size: --size {width}x{height} draws the whole layout in the nearest size, as does --size {NEAREST}"
            raise RefusedError([*error.problems, hint]) from None


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause garbage collection while loading, which creates millions of objects that all stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
