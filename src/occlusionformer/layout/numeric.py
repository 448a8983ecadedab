"""Numbers of other libraries, numpy's above all, taken for what they are. Imports none of them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from pydantic import BeforeValidator


def plain_number(value: Any) -> Any:
    """A number of another library as Python's own int or float; anything else, booleans too, as it is."""
    if type(value) in (int, float, str) or isinstance(value, bool) or not isinstance(value, Real):
        return value
    try:
        return int(value) if isinstance(value, Integral) else float(value)
    except OverflowError:  # a fraction that no float can hold
        return value


AnyNumber = BeforeValidator(plain_number)
"""In front of pydantic's strict numbers, which know only Python's own."""
