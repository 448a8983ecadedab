"""Where the objects of a picture stand when only their names are given."""

from __future__ import annotations

from typing import NamedTuple


class ComposedPlace(NamedTuple):
    """A square in a picture of any shape."""

    across: float
    """Its centre, in shares of the width."""
    down: float
    """Its centre, in shares of the height."""
    side: float
    """In shares of the shorter side."""


PLACES = (ComposedPlace(0.5, 0.62, 0.62), ComposedPlace(0.22, 0.34, 0.42), ComposedPlace(0.78, 0.34, 0.42))
"""Of the objects in the order of the prompt: the first in the middle, the second to its left, the third to its right,
both behind it. None depends on how many there are, so that pictures of a batch share them."""
