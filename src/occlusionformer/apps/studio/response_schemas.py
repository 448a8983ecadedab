"""Schemas of the API's responses for its OpenAPI description; `responses` and `handlers` build the values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from occlusionformer.apps.studio.errors import CODES
from occlusionformer.apps.studio.job import Status


class Problem(BaseModel):
    """One problem with a request."""

    field: str
    message: str


class Refusal(BaseModel):
    """An error response."""

    problems: list[Problem]
    code: Literal[tuple(sorted(CODES))]  # type: ignore[valid-type]


class PreviewImage(BaseModel):
    """An unfinished picture as a data URI."""

    index: int
    src: str


class Preview(BaseModel):
    """The unfinished pictures after a step."""

    step: int
    images: list[PreviewImage]


class State(BaseModel):
    """The state of a job."""

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
    """Paths of an instance's mask and cut-out; null if masks were not asked for."""

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
    """The result of a job."""

    job: str
    model: str
    expires_in_seconds: int
    timings: dict[str, float]
    images: list[Image]


class Queue(BaseModel):
    """Numbers of jobs, and how many may wait."""

    running: int
    waiting: int
    capacity: int


ModelStatus = Literal["loading", "ready", "failed"]


class Health(BaseModel):
    """The state of the server and its first model."""

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


class ExampleLayout(BaseModel):
    """A layout to start from."""

    name: str
    title: str
    layout: dict[str, Any]


class ExampleLayouts(BaseModel):
    """All examples."""

    examples: list[ExampleLayout]


class FormatOptions(BaseModel):
    """A layout format and its options."""

    name: str
    description: str
    order: str
    options: list[str]


class Formats(BaseModel):
    """All formats."""

    formats: list[FormatOptions]


class NamedObject(BaseModel):
    """An object that a model can draw, with other words for it."""

    name: str
    category: str
    synonyms: list[str]
    adjectives: list[str]
    recolourable: bool


class ModelVocabulary(BaseModel):
    """What a model knows by name; captions speak of something else after one of `links`."""

    model: str
    objects: list[NamedObject]
    colours: list[str]
    links: list[str]


class Vocabularies(BaseModel):
    """Of the models that are loaded and have one."""

    vocabularies: list[ModelVocabulary]


class Validity(BaseModel):
    """Whether a layout is right, and what follows from its order: pairs of instances, the one in front first."""

    valid: bool
    problems: list[Problem]
    cycles: list[list[str]]
    relations: list[list[str]] | None
    broken: list[list[str]]


class LayoutMapFiles(BaseModel):
    """Two PNG files in base64."""

    colours: str
    depth: str


class Converted(BaseModel):
    """A document in another format, or the maps of one, and its layouts in the native one."""

    document: str | None
    maps: LayoutMapFiles | None
    layouts: list[dict[str, Any]]


ANSWERS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (model, "serialization")
    for model in (Refusal, Health, Models, ExampleLayouts, Formats, Vocabularies, Validity, Converted, State, Result)
]
"""All responses, as arguments of pydantic's `models_json_schema`."""
