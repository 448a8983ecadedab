"""The figures of the scene benchmark: columns of results by the names and titles that its tables have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from occlusionformer.evaluation.scores import Score

COLUMNS = {
    "occ": "occ_f1",
    "dep": "dep_ovlOX_all",
    "miou": "miou",
    "o_miou": "o_miou",
    "identity": "identity",
    "completeness": "completeness",
    "background": "background",
    "clutter": "clutter",
    "sharpness": "sharpness",
    "blockiness": "blockiness",
    "lighting": "lighting",
}
"""The column of every figure."""
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
"""How the figures are shown, with the direction in which they are better."""


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
