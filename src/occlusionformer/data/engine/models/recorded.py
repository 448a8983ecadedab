"""Answers that a model gave elsewhere, read from a file: how outputs of large models get into a build.

One JSON object a line: `{"key": ..., "captions": {id: text}}`, `{"key": ..., "order": [[front, behind, chance], ...]}`,
`{"key": ..., "amodal": {id: {"size": [h, w], "counts": text}}}`, or several of these in one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from occlusionformer.data.engine.models.protocol import View
from occlusionformer.data.records import Mask, decode_masks


def load(argument: str | None) -> RecordedAnswers:
    """The answers in a file."""
    return RecordedAnswers(_content(argument), revision_of(argument))


def revision_of(argument: str | None) -> str:
    """Of the file."""
    return hashlib.sha256(_content(argument)).hexdigest()[:12]


def _content(argument: str | None) -> bytes:
    if argument is None:
        raise ValueError("model: expected recorded:FILE, got no file")
    return Path(argument).read_bytes()


class RecordedAnswers:
    """Looks everything up by the key of the picture and the ids of its instances."""

    def __init__(self, content: bytes, revision: str) -> None:
        self.revision = revision
        self.answers: dict[str, dict[str, Any]] = {}
        for line in content.decode().splitlines():
            value = json.loads(line)
            self.answers.setdefault(value["key"], {}).update(value)

    def captions(self, view: View) -> list[str]:
        known = self._of(view, "captions")
        return [known[name] for name in view.ids]

    def probabilities(self, view: View, pairs_P2: np.ndarray) -> np.ndarray:
        chances = {(front, behind): chance for front, behind, chance in self._of(view, "order")}
        named = [(view.ids[first], view.ids[second]) for first, second in pairs_P2]
        return np.array([[chances.get(pair, 0.0), chances.get(pair[::-1], 0.0)] for pair in named], dtype=np.float64)

    def complete(self, view: View, instances: Sequence[int]) -> np.ndarray:
        known = self._of(view, "amodal")
        masks = [known[view.ids[place]] for place in instances]
        return decode_masks(
            [Mask(height=mask["size"][0], width=mask["size"][1], counts=mask["counts"]) for mask in masks]
        )

    def _of(self, view: View, kind: str) -> Any:
        try:
            return self.answers[view.key][kind]
        except KeyError:
            raise ValueError(f"expected recorded {kind} of {view.key}, got none") from None
