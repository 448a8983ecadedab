"""Request bodies, and the job they describe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from occlusionformer.apps.studio.errors import ApiError, FieldProblem, problems_under
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.generation import CanvasError, GenerationDefaults, GenerationRequest, choose_seed, drawn_size
from occlusionformer.generation.request import MAX_SEED
from occlusionformer.layout import FORMATS, Layout, LayoutError
from occlusionformer.layout.document import Document
from occlusionformer.layout.formats.format import ListOrder
from occlusionformer.layout.problems import one_of, shown
from occlusionformer.layout.schema import CyclePolicy

Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
FormatName = Literal[
    "native", "published", "sa-z", "overlaybench", "coco", "simpletuner", "comfy", "ideogram4", "flux3", "ming",
    "gligen", "gligen-diffusers", "larender", "omost",
]  # fmt: skip

MOST_GUIDANCE = 100.0
MOST_STRENGTH = 10.0
PREVIEWS = 6
"""Approximate number of previews of a job by default."""


class GenerateBody(Document):
    """A job to draw."""

    layout: Layout
    model: str | None = Field(None, description="One of the models of this server; null for its first.")
    seed: Annotated[int, Field(strict=True, ge=0, le=MAX_SEED)] | None = Field(
        None, description="Picture K is drawn from seed + K; null for the layout's seed, else a fresh one."
    )
    images: Annotated[int, Field(strict=True, ge=1, le=4)] = Field(1, description="Pictures to draw.")
    steps: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = Field(None, description="null for the model's.")
    guidance: Annotated[float, Field(strict=True, ge=0, le=MOST_GUIDANCE)] | None = Field(
        None, description="null for the model's."
    )
    grounding_ratio: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        None, description="Share of the steps on which the layout is obeyed; null for the model's."
    )
    strength: Annotated[float, Field(strict=True, ge=0, le=MOST_STRENGTH)] = Field(
        1.0, description="Factor on everything the layout adds."
    )
    nearest_size: Flag = Field(
        False, description="Draw a canvas that the model cannot draw in the nearest size it can."
    )
    want_masks: Flag = False
    want_weights: Flag = False
    preview_every: Annotated[int, Field(strict=True, ge=0, le=1000)] | None = Field(
        None, description="A preview after every so many steps; 0 for none, null for about six in all."
    )
    keep: Flag = Field(False, description="Go on when nobody listens to the events any more.")


class ValidateBody(Document):
    """A layout to check; any value is accepted."""

    layout: Any


class ConvertOptions(Document):
    """Values that a document does not contain; which of them apply depends on the format."""

    prompt: str | None = None
    width: Whole | None = None
    height: Whole | None = None
    cycles: CyclePolicy | None = None
    regions: Flag | None = None
    image: str | None = None
    list_order: ListOrder | None = None


class ConvertBody(Document):
    """A document to read, and the format to write it in; null to read only."""

    document: str = Field(description="The text of a file.")
    from_format: FormatName = Field(alias="from")
    to: FormatName | Literal["maps"] | None = Field(
        None, description="maps for two pictures: a colour for each instance, and depth."
    )
    options: ConvertOptions = ConvertOptions()
    lossy: Flag = False


assert set(FormatName.__args__) == set(FORMATS)  # type: ignore[attr-defined]

Body = TypeVar("Body", bound=Document)


def parse_as(kind: type[Body], value: Any) -> Body:
    """Raises ApiError with every problem."""
    if not isinstance(value, dict):
        raise ApiError("invalid", f"expected an object, got {shown(value)}")
    try:
        return kind.model_validate(value)
    except LayoutError as error:
        raise ApiError("invalid", problems_under(error)) from None


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A checked job."""

    requests: tuple[GenerationRequest, ...]
    model: str
    preview_every: int | None
    keep: bool

    @property
    def wants_previews(self) -> bool:
        return self.preview_every != 0

    def shows(self, step: int, total: int) -> bool:
        """Whether to send a preview after this step; never after the last one."""
        every = max(1, total // (PREVIEWS + 1)) if self.preview_every is None else self.preview_every
        return self.wants_previews and step % every == 0 and step < total


def job_request(body: GenerateBody, limits: StudioLimits, models: Collection[str], default_model: str) -> JobRequest:
    """Raises ApiError with every problem."""
    problems = [*limits.layout_problems(body.layout, "layout"), *_beyond(body, limits)]
    if body.model is not None and body.model not in models:
        problems.append(FieldProblem("model", f"expected {one_of(models)}, got {shown(body.model)}"))
    if problems:
        raise ApiError("invalid", problems)
    first = GenerationRequest(
        layout=body.layout,
        seed=body.seed,
        steps=body.steps,
        guidance=body.guidance,
        grounding_ratio=body.grounding_ratio,
        strength=body.strength,
        nearest_size=body.nearest_size,
        want_masks=body.want_masks,
        want_weights=body.want_weights,
    )
    return JobRequest(
        requests=_seeded(first, body.images),
        model=body.model or default_model,
        preview_every=body.preview_every,
        keep=body.keep,
    )


def _beyond(body: GenerateBody, limits: StudioLimits) -> list[FieldProblem]:
    found = []
    for name, amount, most in (("images", body.images, limits.images), ("steps", body.steps or 0, limits.steps)):
        if amount > most:
            found.append(FieldProblem(name, f"expected at most {most}, got {amount}"))
    layout = body.layout
    values = body.images * len(layout.instances) * layout.width * layout.height if body.want_masks else 0
    if values > limits.mask_pixels:
        text = f"expected masks of at most {limits.mask_pixels} pixels for all instances and pictures, got {values}"
        found.append(FieldProblem("want_masks", text))
    return found


def _seeded(first: GenerationRequest, images: int) -> tuple[GenerationRequest, ...]:
    """One request per picture with consecutive seeds, wrapping around after the largest."""
    start = choose_seed(first)
    return tuple(replace(first, seed=(start + place) % (MAX_SEED + 1)) for place in range(images))


def canvas_problems(request: JobRequest, defaults: GenerationDefaults | None) -> list[FieldProblem]:
    """Problems with the canvas for this model; none while its defaults are unknown."""
    if defaults is None:
        return []
    try:
        drawn_size(request.requests[0], defaults.side_multiple)
    except CanvasError as error:
        return [FieldProblem(f"layout.{side}", text) for side, text in error.sides.items()]
    return []
