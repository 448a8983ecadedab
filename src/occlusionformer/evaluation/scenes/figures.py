"""The figures of the scene benchmark: columns of results by the names and titles that its tables have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from occlusionformer.evaluation.scores import Score

FIGURES = {
    "occ": "Occ ↑",
    "dep": "Dep ↓",
    "miou": "mIoU ↑",
    "o_miou": "O-mIoU ↑",
    "identity": "identity ↑",
    "completeness": "completeness ↑",
    "colour": "colour ↑",
    "background": "background ↓",
    "clutter": "clutter ↓",
    "sharpness": "sharpness → 1",
    "blockiness": "blockiness ↓",
    "lighting": "lighting ↓",
}
"""How the figures are shown, with the direction in which they are better."""
COLUMNS = {**{name: name for name in FIGURES}, "occ": "occ_f1", "dep": "dep_ovlOX_all"}
"""The column of every figure."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean over pictures with its 95% interval; None over no pictures."""

    value: float | None
    low: float | None
    high: float | None
    pictures: int


NOTHING = Figure(value=None, low=None, high=None, pictures=0)


def figures(scores: Iterable[Score]) -> dict[str, Figure]:
    """Pictures whose layout has no pair that counts do not enter Occ, Dep and O-mIoU."""
    found = by_column(scores)
    return {name: found.get(column, NOTHING) for name, column in COLUMNS.items()}


def by_column(scores: Iterable[Score]) -> dict[str, Figure]:
    """Every score as a figure, by its column."""
    return {
        each.column.name: Figure(value=each.value, low=each.low, high=each.high, pictures=each.num_images)
        for each in scores
    }
