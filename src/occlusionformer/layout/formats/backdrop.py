"""Formats without a prompt of their own: the first of their boxes covers the canvas, and its words are the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from occlusionformer.layout.box import Box
from occlusionformer.layout.formats.draft import Draft
from occlusionformer.layout.formats.format import ReadOptions
from occlusionformer.layout.problems import Path

WHOLE = Box(0, 0, 1, 1)


def has_backdrop(boxes: Sequence[object]) -> bool:
    """Whether the first box, as far as it could be read, covers the canvas."""
    return bool(boxes) and boxes[0] == WHOLE


def take_backdrop(draft: Draft, options: ReadOptions, words: object, path: Path) -> None:
    """The prompt from the first box, found at `path`."""
    draft.put("prompt", words, path)
    if options.prompt is not None:
        draft.report(path, "expected a box that covers the canvas or a prompt from the caller, got both")


def take_prompt(draft: Draft, options: ReadOptions, path: Path) -> None:
    """The prompt from the caller; `path` is where the first box would say it."""
    if options.prompt is None:
        draft.report(path, "expected a first box that covers the canvas, or a prompt from the caller, got neither")
    else:
        draft.put("prompt", options.prompt, ("prompt",))
