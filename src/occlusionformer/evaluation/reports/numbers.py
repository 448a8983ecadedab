"""Scores as text: how many digits they have, and which way is better."""

from __future__ import annotations

from occlusionformer.evaluation.benchmark import Column
from occlusionformer.evaluation.scores import Score

DIGITS = 4
"""As papers print shares; numbers of LARGE and more, such as a FID, have two."""
LARGE = 10.0


def number_text(value: float | None) -> str:
    """Four digits after the point, two from 10 on; nothing for None."""
    if value is None:
        return ""
    return f"{value:.{2 if abs(value) >= LARGE else DIGITS}f}"


def value_text(score: Score) -> str:
    """The value, or why there is none: `not run`, or `none` where no picture counts. Never 0 for a missing number."""
    if score.value is None:
        return "not run" if score.status == "not run" else "none"
    return number_text(score.value)


def column_title(column: Column) -> str:
    """The title with an arrow to the better end."""
    return f"{column.title} {column.arrow}"


def is_shown(score: Score) -> bool:
    """Whether tables have a row for it: details only where they have a value."""
    return score.value is not None or not score.column.is_detail
