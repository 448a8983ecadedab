"""In which numbers a model computes, for those that leave the choice."""

from __future__ import annotations

from typing import Literal, get_args

ComputedIn = Literal["auto", "fp32", "bf16"]
"""float32, bf16 where it makes a difference in time, or the one that is faster on this machine."""

_OF_DTYPE: dict[str, ComputedIn] = {"float32": "fp32", "bfloat16": "bf16"}


def parse_computed_in(precision: str) -> ComputedIn:
    """The precision of this name. Raises ValueError for what is none."""
    if precision not in get_args(ComputedIn):
        *others, last = get_args(ComputedIn)
        raise ValueError(f"precision: expected {', '.join(others)} or {last}, got {precision!r:.100}")
    named: ComputedIn = precision  # type: ignore[assignment]
    return named


def computed_in(dtype: str) -> ComputedIn:
    """The precision of a picture whose record has this dtype; "auto" for one that no choice gives."""
    return _OF_DTYPE.get(dtype, "auto")
