"""Checks the matrices of a record: shape, entries, and entries that contradict each other."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from occlusionformer.data.records.record import APART, CLOSER, FARTHER, LEVEL, OCCLUDES, UNKNOWN, Matrix, Record
from occlusionformer.layout.problems import Problem, one_of, shown

ORDER_ENTRIES = (OCCLUDES, APART, UNKNOWN)
DEPTH_ENTRIES = (CLOSER, FARTHER, LEVEL, UNKNOWN)
OPPOSITE = {CLOSER: FARTHER, FARTHER: CLOSER, LEVEL: LEVEL, UNKNOWN: UNKNOWN}
"""The value of `depth[j][i]` for each value of `depth[i][j]`."""


def matrix_problems(record: Record) -> list[Problem]:
    """Problems of a record's matrices. Mutual occlusion and cycles are allowed: real objects interlock."""
    count = len(record.instances)
    problems: list[Problem] = []
    if record.order is not None:
        problems += _named("order", _entry_problems(record.order, count, ORDER_ENTRIES, diagonal=APART))
    if record.depth is not None:
        found = _entry_problems(record.depth, count, DEPTH_ENTRIES, diagonal=UNKNOWN)
        problems += _named("depth", found or _contradictions(record.depth))
    for name in ("order", "depth"):
        confidences = getattr(record, f"{name}_confidence")
        if confidences is None:
            continue
        if getattr(record, name) is None:
            problems.append(Problem((f"{name}_confidence",), f"expected null beside a missing {name}, got a matrix"))
        problems += _named(f"{name}_confidence", _confidence_problems(confidences, count))
    return problems


def _named(name: str, problems: Sequence[Problem]) -> list[Problem]:
    return [problem.under((name,)) for problem in problems]


def _shape_problems(matrix: Sequence[Sequence[object]], count: int) -> list[Problem]:
    if len(matrix) != count:
        return [Problem((), f"expected {count} rows, one for each instance, got {len(matrix)}")]
    return [
        Problem((place,), f"expected {count} entries, one for each instance, got {len(row)}")
        for place, row in enumerate(matrix)
        if len(row) != count
    ]


def _entry_problems(matrix: Matrix, count: int, allowed: Collection[int], *, diagonal: int) -> list[Problem]:
    problems = _shape_problems(matrix, count)
    for front, row in enumerate(matrix):
        for behind, value in enumerate(row):
            if value not in allowed:
                problems.append(Problem((front, behind), f"expected {one_of(allowed)}, got {shown(value)}"))
            elif front == behind and value != diagonal:
                text = f"expected {diagonal}, got {value}: an instance beside itself"
                problems.append(Problem((front, behind), text))
    return problems


def _contradictions(depth: Matrix) -> list[Problem]:
    return [
        Problem((first, second), f"expected {OPPOSITE[depth[second][first]]} beside {back}, got {depth[first][second]}")
        for second in range(len(depth))
        for first in range(second)
        for back in [f"[{second}][{first}] = {depth[second][first]}"]
        if depth[first][second] != OPPOSITE[depth[second][first]]
    ]


def _confidence_problems(matrix: Sequence[Sequence[float]], count: int) -> list[Problem]:
    problems = _shape_problems(matrix, count)
    for front, row in enumerate(matrix):
        for behind, value in enumerate(row):
            if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
                problems.append(Problem((front, behind), f"expected 0 to 1, got {shown(value)}"))
    return problems
