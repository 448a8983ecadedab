"""Texts longer than an encoder reads: counted and announced, never cut in silence."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from occlusionformer.generation import instance_text
from occlusionformer.layout import Layout
from occlusionformer.pipelines.inputs import TextInputs

logger = logging.getLogger(__name__)


KINDS = ("prompt", "negative prompt")


class TextOverflowWarning(UserWarning):
    """Part of a prompt or caption lies beyond what a text encoder reads."""


@dataclass(frozen=True, kw_only=True)
class EncoderTexts:
    """Texts on their way to one encoder, which reads `limit` tokens of each."""

    encoder: str
    tokenizer: Any
    limit: int
    name_of_text: Mapping[str, str]
    """From a text to what the warning calls it; equal texts are named once."""


def clip_reading(
    tokenizer: Any, limit: int, sides: Sequence[TextInputs], layouts: Sequence[Layout | None]
) -> EncoderTexts:
    """The pooled encoder reads the prompts and every instance."""
    names: dict[str, str] = {}
    for index, layout in enumerate(layouts):
        for position, instance in enumerate(layout.instances if layout is not None else ()):
            names.setdefault(instance_text(instance), f"layout {index} instance {position}")
    for side, kind in zip(sides, KINDS, strict=False):
        names.update(_named(side.prompt, kind))
    return EncoderTexts(encoder="text_encoder", tokenizer=tokenizer, limit=limit, name_of_text=names)


def t5_reading(tokenizer: Any, limit: int, sides: Sequence[TextInputs]) -> EncoderTexts:
    """The sequence encoder reads the prompts alone."""
    names: dict[str, str] = {}
    for side, kind in zip(sides, KINDS, strict=False):
        names.update(_named(side.prompt_2 or side.prompt, kind))
    return EncoderTexts(encoder="text_encoder_2", tokenizer=tokenizer, limit=limit, name_of_text=names)


def warn_of_overflow(readings: Sequence[EncoderTexts]) -> None:
    """One warning (and one log line) for everything that will not be read, with counts."""
    lines = [line for reading in readings if (line := _overflow(reading))]
    if lines:
        message = f"text beyond an encoder's limit is not read: {'; '.join(lines)}"
        logger.warning(message)
        warnings.warn(message, TextOverflowWarning, stacklevel=3)


def _overflow(reading: EncoderTexts) -> str:
    if reading.tokenizer is None or not reading.name_of_text:
        return ""
    tokenised = reading.tokenizer(list(reading.name_of_text), padding=False, truncation=False, verbose=False)
    counts = zip(reading.name_of_text.values(), map(len, tokenised["input_ids"]), strict=True)
    over = [f"{name} has {count}" for name, count in counts if count > reading.limit]
    return f"{reading.encoder} reads {reading.limit} tokens, {', '.join(over)}" if over else ""


def _named(texts: str | list[str] | None, kind: str) -> dict[str, str]:
    listed = [texts] if isinstance(texts, str) else texts or []
    return {text: f"{kind} {index}" for index, text in enumerate(listed)}
