"""Where a picture comes from, written into its PNG: enough to draw it again."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from occlusionformer.generation.request import GenerationRequest
from occlusionformer.layout import Layout

PNG_KEY = "occlusionformer"
"""The PNG text chunk that holds the JSON."""

FORMAT = 1
"""Raised when a key changes its meaning."""


class ProvenanceError(ValueError):
    """A picture without a record, or with one that cannot be read."""


@with_config(ConfigDict(extra="forbid"))
class Versions(TypedDict):
    """Of everything that shapes the pixels."""

    occlusionformer: str
    torch: str
    diffusers: str
    transformers: str


@with_config(ConfigDict(extra="forbid"))
class Provenance(TypedDict):
    """Everything that decided the pixels, with no setting left to a default."""

    format: int
    model: str
    versions: Versions
    layout: dict[str, Any]
    prompt: str
    seed: int
    width: int
    height: int
    steps: int
    guidance: float
    grounding_ratio: float
    strength: float
    device: str
    dtype: str


_SCHEMA = TypeAdapter(Provenance)


def parse_provenance(text: str) -> Provenance:
    """Read the JSON of a record."""
    try:
        provenance = _SCHEMA.validate_json(text)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or PNG_KEY}: {item['msg']}" for item in error.errors()]
        raise ProvenanceError("\n".join(problems)) from error
    if provenance["format"] != FORMAT:
        raise ProvenanceError(f"format: expected {FORMAT}, got {provenance['format']}")
    return provenance


def write_provenance(provenance: Provenance) -> str:
    """ASCII JSON, so that a plain PNG text chunk can hold it."""
    return json.dumps(provenance, ensure_ascii=True, allow_nan=False)


def read_provenance(path: str | PathLike[str]) -> Provenance:
    """The record inside a PNG written by GeneratedImage.save."""
    try:
        with Image.open(Path(path)) as image:
            text = image.info.get(PNG_KEY)
    except UnidentifiedImageError as error:
        raise ProvenanceError(f"{path}: expected a PNG picture, got something else") from error
    if not isinstance(text, str):
        raise ProvenanceError(f"{path}: expected a PNG with a text chunk {PNG_KEY!r}, found none")
    return parse_provenance(text)


def request_to_repeat(provenance: Provenance) -> GenerationRequest:
    """The request that draws the same picture again, given the same model and versions."""
    return GenerationRequest(
        layout=Layout.model_validate(provenance["layout"]),
        seed=provenance["seed"],
        width=provenance["width"],
        height=provenance["height"],
        steps=provenance["steps"],
        guidance=provenance["guidance"],
        grounding_ratio=provenance["grounding_ratio"],
        strength=provenance["strength"],
    )
