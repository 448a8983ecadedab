"""Scores by how difficult the layouts are: groups of pictures of about the same difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scores import Score, value_over

MEASURES = {
    "instances": "number of instances",
    "overlapping_pairs": "number of overlapping pairs",
    "total_iou": "sum of the overlaps of all pairs (IoU)",
}
GROUPS = 5
"""Groups of pictures, with about as many in each."""
LEAST_PICTURES = 10
"""Fewer pictures are not divided: the numbers would be noise."""


@dataclass(frozen=True)
class Group:
    """Pictures that follow one another in difficulty."""

    low: float
    high: float
    keys: tuple[str, ...]
    middle: float
    """The mean difficulty."""


def groups(difficulty: Mapping[str, float]) -> list[Group]:
    """Pictures by difficulty in at most GROUPS groups; pictures of equal difficulty stay together."""
    keys_at: dict[float, list[str]] = {}
    for key, value in difficulty.items():
        keys_at.setdefault(value, []).append(key)
    found: list[Group] = []
    held: list[str] = []
    for value in sorted(keys_at):
        held += sorted(keys_at[value])
        if len(held) * GROUPS >= len(difficulty):
            found.append(_group(held, difficulty))
            held = []
    return [*found, _group(held, difficulty)] if held else found


def group_score(score: Score, group: Group) -> float | None:
    """The score over the pictures of a group alone; None where none of them counts."""
    counted = set(score.keys)
    return value_over(score, [key for key in group.keys if key in counted])


def by_difficulty(result: Result, measure: str) -> tuple[list[Score], list[Group]]:
    """The scores that pictures have by themselves, and the groups to divide them in; no groups for too few pictures.

    A measure that hardly varies gives a single group, which says nothing: it is left out.
    """
    scores = [score for score in main_scores(result) if len(score.keys) >= LEAST_PICTURES]
    difficulty = {key: values[measure] for key, values in result.document["difficulty"].items()}
    found = groups(difficulty) if scores and len(difficulty) >= LEAST_PICTURES else []
    return scores, found if len(found) > 1 else []


def main_scores(result: Result) -> list[Score]:
    """The scores of single pictures that tables always show, in their order."""
    return [score for score in result.scores if score.keys and not score.column.is_detail]


def difficulty_rows(scores: Sequence[Score], found: Sequence[Group]) -> list[list[str | float | int | None]]:
    """A row for every group: its range, how many pictures it has, and every score over them."""
    rows: list[list[str | float | int | None]] = []
    for group in found:
        span = f"{group.low:g}" if group.low == group.high else f"{group.low:.3g} to {group.high:.3g}"
        rows.append([span, len(group.keys), *(group_score(score, group) for score in scores)])
    return rows


def _group(keys: Sequence[str], difficulty: Mapping[str, float]) -> Group:
    values = [difficulty[key] for key in keys]
    return Group(min(values), max(values), tuple(keys), sum(values) / len(values))
