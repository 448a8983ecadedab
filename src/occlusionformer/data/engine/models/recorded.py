"""Outputs of a model recorded elsewhere, read from a file, so that large models need not run in a build.

One JSON object a line: `{"key": ..., "captions": {id: text}}`, `{"key": ..., "order": [[front, behind, chance], ...]}`,
`{"key": ..., "amodal": {id: {"size": [h, w], "counts": text}}}`, or several of these in one. The file may be packed by
gzip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from occlusionformer.data.engine.models.protocol import MaskedPicture
from occlusionformer.data.json_files import JsonFileError, read_json_lines
from occlusionformer.data.records import Mask, decode_masks
from occlusionformer.layout.problems import MOST_PROBLEMS, shown


def load(argument: str | None) -> RecordedAnswers:
    """Load recorded outputs. Raises ValueError that lists all problems with their lines."""
    return RecordedAnswers(_path(argument), revision_of(argument))


def revision_of(argument: str | None) -> str:
    """Revision: the hash of the file."""
    digest = hashlib.sha256()
    with _path(argument).open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()[:12]


def _path(argument: str | None) -> Path:
    if argument is None:
        raise ValueError("model: expected recorded:FILE, got no file")
    if not Path(argument).is_file():
        raise ValueError(f"model: expected recorded:FILE, got no file {argument!r}")
    return Path(argument)


class RecordedAnswers:
    """Looks everything up by the key of the picture and the ids of its instances."""

    def __init__(self, path: Path, revision: str) -> None:
        self.revision = revision
        self.answers: dict[str, dict[str, Any]] = {}
        problems: list[str] = []
        for number, value in read_json_lines(path):
            if problem := _problem(value):
                problems.append(f"{path.name}: line {number}: {problem}")
                if len(problems) == MOST_PROBLEMS:
                    break
            else:
                self.answers.setdefault(value["key"], {}).update(value)
        if problems:
            raise JsonFileError("\n".join(problems))

    def captions(self, view: MaskedPicture) -> list[str]:
        known = self._of(view, "captions")
        return [self._one(known, view, place, "caption") for place in range(len(view.ids))]

    def probabilities(self, view: MaskedPicture, pairs_P2: np.ndarray) -> np.ndarray:
        chances = {(front, behind): chance for front, behind, chance in self._of(view, "order")}
        named = [(view.ids[first], view.ids[second]) for first, second in pairs_P2]
        return np.array([[chances.get(pair, 0.0), chances.get(pair[::-1], 0.0)] for pair in named], dtype=np.float64)

    def complete(self, view: MaskedPicture, instances: Sequence[int]) -> np.ndarray:
        known = self._of(view, "amodal")
        size = list(view.image.shape[:2])
        masks = []
        for place in instances:
            mask = self._one(known, view, place, "amodal mask")
            if mask["size"] != size:
                text = f"expected a mask of size {size}, that of the upright picture, got {shown(mask['size'])}"
                raise ValueError(f"amodal.{view.ids[place]}: {text}")
            masks.append(Mask(height=size[0], width=size[1], counts=mask["counts"]))
        return decode_masks(masks)

    def _of(self, view: MaskedPicture, kind: str) -> Any:
        try:
            return self.answers[view.key][kind]
        except KeyError:
            raise ValueError(f"expected recorded {kind} of {view.key}, got none") from None

    def _one(self, known: dict[str, Any], view: MaskedPicture, place: int, what: str) -> Any:
        try:
            return known[view.ids[place]]
        except KeyError:
            raise ValueError(f"expected a recorded {what} of {view.key}, instance {view.ids[place]}") from None


def _problem(value: Any) -> str:
    """The problem with a line; empty if it is valid."""
    if not isinstance(value, dict) or not isinstance(value.get("key"), str):
        return f'expected an object with a "key" that is text, got {shown(value)}'
    captions, order, amodal = value.get("captions", {}), value.get("order", []), value.get("amodal", {})
    if not isinstance(captions, dict) or not all(isinstance(text, str) for text in captions.values()):
        return f"captions: expected text by the ids of instances, got {shown(captions)}"
    if not isinstance(order, list) or not all(map(_is_relation, order)):
        return f"order: expected triples [front, behind, chance], a chance from 0 to 1, got {shown(order)}"
    if not isinstance(amodal, dict) or not all(map(_is_mask, amodal.values())):
        return f"amodal: expected masks with size and counts by the ids of instances, got {shown(amodal)}"
    return ""


def _is_relation(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    front, behind, chance = value
    is_number = isinstance(chance, int | float) and not isinstance(chance, bool)
    return isinstance(front, str) and isinstance(behind, str) and is_number and 0 <= chance <= 1


def _is_mask(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("size"), list) and isinstance(value.get("counts"), str)
