"""What the API answers, for its OpenAPI description. The functions of `responses` and `handlers` make these values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from occlusionformer.apps.studio.errors import CODES
from occlusionformer.apps.studio.job import Status


class Problem(BaseModel):
    """One thing wrong."""

    field: str
    message: str


class Refusal(BaseModel):
    """A request that is not served, and why."""

    problems: list[Problem]
    code: Literal[tuple(sorted(CODES))]  # type: ignore[valid-type]


class PreviewImage(BaseModel):
    """A picture on its way, as a data URI."""

    index: int
    src: str


class Preview(BaseModel):
    """The pictures after a step."""

    step: int
    images: list[PreviewImage]


class State(BaseModel):
    """How a job stands."""

    job: str
    status: Status
    position: int
    waiting_seconds: float | None
    step: int
    total: int | None
    seconds_left: float | None
    problems: list[Problem]
    preview: Preview | None


class InstanceFiles(BaseModel):
    """Where an instance's mask and cut-out are, if they were asked for."""

    id: str
    mask: str | None
    cutout: str | None


class Weights(BaseModel):
    """Share of each instance in the blend, a byte for each instance and token, in base64."""

    rows: int
    columns: int
    encoding: Literal["base64-uint8"]
    data: str


class Image(BaseModel):
    """One picture of a result."""

    index: int
    seed: int
    width: int
    height: int
    png: str
    instances: list[InstanceFiles]
    weights: Weights | None
    provenance: dict[str, Any]


class Result(BaseModel):
    """What a job made."""

    job: str
    model: str
    expires_in_seconds: int
    timings: dict[str, float]
    images: list[Image]


class Queue(BaseModel):
    """Jobs now, and how many may wait."""

    running: int
    waiting: int
    capacity: int


ModelStatus = Literal["loading", "ready", "failed"]


class Health(BaseModel):
    """Whether the server can draw."""

    status: ModelStatus
    model: str
    version: str
    queue: Queue


class Model(BaseModel):
    """A model of this server; its defaults are null while it is not loaded."""

    name: str
    status: ModelStatus
    defaults: dict[str, Any] | None


class Models(BaseModel):
    """All models, and the limits of this server."""

    default: str
    models: list[Model]
    limits: dict[str, int]


class Example(BaseModel):
    """A layout to start from."""

    name: str
    title: str
    layout: dict[str, Any]


class Examples(BaseModel):
    """The gallery."""

    examples: list[Example]


class Format(BaseModel):
    """A layout format, and what it leaves to the caller."""

    name: str
    description: str
    options: list[str]


class Formats(BaseModel):
    """All formats."""

    formats: list[Format]


class Validity(BaseModel):
    """Whether a layout is right, and what follows from its order: pairs of instances, the one in front first."""

    valid: bool
    problems: list[Problem]
    cycles: list[list[str]]
    relations: list[list[str]] | None
    broken: list[list[str]]


class Converted(BaseModel):
    """A document in another format, and its layouts in the native one."""

    document: str | None
    layouts: list[dict[str, Any]]


ANSWERS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (model, "serialization")
    for model in (Refusal, Health, Models, Examples, Formats, Validity, Converted, State, Result)
]
"""What an answer may be as a whole, as pydantic's `models_json_schema` takes it."""
