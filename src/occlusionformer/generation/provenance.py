"""Where a picture comes from, written into its PNG: enough to draw it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from occlusionformer.generation.png_text import PNG_KEY, PngError, png_text
from occlusionformer.generation.request import GenerationRequest
from occlusionformer.layout import Layout, LayoutError
from occlusionformer.layout.problems import problems_of_validation
from occlusionformer.layout.text import parse_json
from occlusionformer.layout.values import unfit_parts

FORMAT = 1
"""Raised when a key changes its meaning."""


class ProvenanceError(ValueError):
    """A picture without a record, or with one that cannot be read; the text lists every problem, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@with_config(ConfigDict(extra="forbid", strict=True))
class Versions(TypedDict):
    """Of everything that shapes the pixels."""

    occlusionformer: str
    torch: str
    diffusers: str
    transformers: str


@with_config(ConfigDict(extra="forbid", strict=True))
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
    """Read the JSON of a record, within the limits of layout documents. Raises ProvenanceError with all problems."""
    try:
        value = parse_json(text)
        unfit = unfit_parts(value)
        if wrong := unfit.names + unfit.numbers:
            raise LayoutError(wrong)
        provenance = _SCHEMA.validate_python(value)
    except LayoutError as error:
        problems = [str(each) if each.path else f"{PNG_KEY}: {each}" for each in error.details]
        raise ProvenanceError(problems) from None
    except ValidationError as error:
        found = LayoutError(problems_of_validation(error, Provenance.__annotations__, frozenset()))
        raise ProvenanceError(found.problems) from None
    if provenance["format"] != FORMAT:
        raise ProvenanceError([f"format: expected {FORMAT}, got {provenance['format']}"])
    return provenance


def write_provenance(provenance: Provenance) -> str:
    """ASCII JSON, so that a plain PNG text chunk can hold it."""
    return json.dumps(provenance, ensure_ascii=True, allow_nan=False)


def read_provenance(path: str | PathLike[str]) -> Provenance:
    """The record inside a PNG written by GeneratedImage.save, wherever another program has moved it.

    Raises ProvenanceError, and OSError for a file that cannot be read.
    """
    with Path(path).open("rb") as file:
        return provenance_in(file, str(path))


def provenance_in(file: BinaryIO, name: str) -> Provenance:
    """As `read_provenance`, of an open file; `name` is what messages call it."""
    try:
        text = png_text(file)
    except PngError as error:
        raise ProvenanceError([f"{name}: {error}"]) from None
    if text is None:
        raise ProvenanceError([f"{name}: expected a PNG with a text chunk {PNG_KEY!r}, found none"])
    return parse_provenance(text)


def request_to_repeat(provenance: Provenance) -> GenerationRequest:
    """The request that draws the same picture again, given the same model and versions.

    Raises ValueError for a record whose layout or numbers are out of range.
    """
    try:
        layout = Layout.model_validate(provenance["layout"])
    except LayoutError as error:
        raise error.under(("layout",)) from None
    return GenerationRequest(
        layout=layout,
        seed=provenance["seed"],
        width=provenance["width"],
        height=provenance["height"],
        steps=provenance["steps"],
        guidance=provenance["guidance"],
        grounding_ratio=provenance["grounding_ratio"],
        strength=provenance["strength"],
    )
