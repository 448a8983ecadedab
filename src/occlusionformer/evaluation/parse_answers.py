"""Parses answers of judges for the metrics.

`benchmark.Question` lists the forms of answers. A small error costs that part alone: an invalid box is dropped, a key
without an answer is no. An answer of another form is None and counts as a failure.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from occlusionformer.evaluation.benchmark import BenchmarkItem, Question, QuestionKind
from occlusionformer.evaluation.metrics.regions import Runs

ROUNDING = 1e-3
"""Tolerance of cosines beyond -1 to 1, for half precision."""
LARGEST_EDGE = 1e6
"""Pixels; a box that reaches farther is invalid."""


def parse_answer(question: Question, answer: object, item: BenchmarkItem) -> Any:
    """The answer to a question about the item in the form that metrics take; None for an answer of another form."""
    return None if answer is None else _READERS[question.kind](answer, len(item.truth.names))


def _detections(answer: object, count: int) -> dict[str, list[tuple[float, ...]]] | None:
    if not isinstance(answer, Mapping):
        return None
    return {
        category: [box for box in map(_box, boxes) if box is not None]
        for category, boxes in answer.items()
        if isinstance(category, str) and isinstance(boxes, list | tuple)
    }


def _box(value: object) -> tuple[float, ...] | None:
    """Four numbers, also written as text; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if not all(isinstance(edge, int | float | str) and not isinstance(edge, bool) for edge in value):
        return None
    try:
        box = tuple(float(edge) for edge in value)
    except (ValueError, OverflowError):
        return None
    return box if all(abs(edge) <= LARGEST_EDGE for edge in box) else None


def _by_key(answer: object, count: int) -> Mapping[str, object] | None:
    return answer if isinstance(answer, Mapping) else None


def _attributes(answer: object, count: int) -> dict[str, Mapping[str, object]] | None:
    if not isinstance(answer, Mapping):
        return None
    return {name: verdicts for name, verdicts in answer.items() if isinstance(verdicts, Mapping)}


def _order(answer: object, count: int) -> np.ndarray | None:
    found = _matrix(answer, count, (0, 1))
    return None if found is None or found.diagonal().any() else found


def _depth(answer: object, count: int) -> np.ndarray | None:
    return _matrix(answer, count, (-1, 0, 1, 2))


def _matrix(answer: object, count: int, values: tuple[int, ...]) -> np.ndarray | None:
    if not isinstance(answer, list | tuple) or len(answer) != count:
        return None
    for row in answer:
        if not isinstance(row, list | tuple) or len(row) != count or not all(value in values for value in row):
            return None
    return np.array(answer, int).reshape(count, count)


def _figures(answer: object, count: int) -> dict[str, float | None] | None:
    if not isinstance(answer, Mapping):
        return None
    values = answer.values()
    return dict(answer) if all(value is None or _is_number(value) for value in values) else None


def _cosine(answer: Any, count: int) -> float | None:
    return float(answer) if _is_cosine(answer) else None


def _cosines(answer: object, count: int) -> list[float | None] | None:
    if not isinstance(answer, list | tuple) or len(answer) != count:
        return None
    return list(answer) if all(each is None or _is_cosine(each) for each in answer) else None


def _features(answer: object, count: int) -> np.ndarray | None:
    try:
        if isinstance(answer, str):
            features = np.frombuffer(base64.b64decode(answer, validate=True), "<f4")
        else:
            with np.errstate(over="ignore"):
                features = np.asarray(answer, np.float32)
    except (TypeError, ValueError, OverflowError):
        return None
    return features if features.ndim == 1 and len(features) and np.isfinite(features).all() else None


def _masks(answer: object, count: int) -> list[Runs | None] | None:
    if not isinstance(answer, list | tuple) or len(answer) != count:
        return None
    return [_runs(mask) for mask in answer]


def _runs(mask: object) -> Runs | None:
    if not isinstance(mask, Mapping):
        return None
    try:
        return Runs(mask)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_cosine(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1 + ROUNDING


_READERS: Mapping[QuestionKind, Callable[[object, int], Any]] = {
    "detect": _detections,
    "entity": _by_key,
    "relation": _by_key,
    "order": _order,
    "depth": _depth,
    "clip_global": _cosine,
    "clip_local": _cosines,
    "fid_features": _features,
    "attributes": _attributes,
    "attributes_of_detected": _attributes,
    "attributes_by_caption": _attributes,
    "segment": _masks,
    "segment_by_mask": _masks,
    "segment_by_soft_mask": _masks,
    "appearance": _figures,
}
