"""Scores of many pictures as figures: means, how sure they are, and over how many pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from occlusionformer.evaluation.metrics.bootstrap import interval
from occlusionformer.evaluation.scenes.judge import Verdict
from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.evaluation.scenes.scoring import Score

FIGURES = {
    "occ": "Occ ↑",
    "dep": "Dep ↓",
    "miou": "mIoU ↑",
    "o_miou": "O-mIoU ↑",
    "identity": "identity ↑",
    "completeness": "completeness ↑",
    "background": "background ↓",
    "clutter": "clutter ↓",
    "sharpness": "sharpness → 1",
    "blockiness": "blockiness ↓",
    "lighting": "lighting ↓",
}
"""Names of the figures and how they are shown, with the direction in which they are better."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A picture, what the judge saw, and what that is worth."""

    key: str
    scene: BenchScene
    verdict: Verdict
    score: Score
    picture: Path | None
    """None for pictures that were rendered for calibration."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean over pictures with its 95% interval; None over no pictures."""

    value: float | None
    low: float | None
    high: float | None
    pictures: int


def figures(scores: Sequence[Score]) -> dict[str, Figure]:
    """Pictures whose layout has no pair that counts do not enter Occ, Dep and O-mIoU."""
    return {name: _figure([getattr(one, name) for one in scores]) for name in FIGURES}


def decided_right(scores: Sequence[Score]) -> float | None:
    """Share of right ones among all pairs that the judge could decide."""
    decided = sum(one.decided for one in scores)
    return sum(one.right for one in scores) / decided if decided else None


def grouped(judged: Sequence[Judged], group: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    """In the order of the names of the groups, numbers in them by size."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(group(one), []).append(one)
    return dict(sorted(groups.items(), key=lambda item: natural(item[0])))


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts "4 to 6" before "10 to 12"."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def badness(one: Judged) -> float:
    """From 0, nothing wrong, to 1: what the report is sorted by."""
    parts = [one.score.miou, one.score.identity, one.score.occ, one.score.completeness]
    known = [part for part in parts if part is not None]
    return 1 - sum(known) / len(known)


def _figure(values: Sequence[float | None]) -> Figure:
    known = [value for value in values if value is not None]
    if not known:
        return Figure(value=None, low=None, high=None, pictures=0)
    found = interval(known)
    return Figure(value=found.value, low=found.low, high=found.high, pictures=len(known))
