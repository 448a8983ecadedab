"""The parts of a document's value: looked at once, within bounds, before a format reads it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

from occlusionformer.layout.limits import LAYOUTS, DocumentLimits
from occlusionformer.layout.numeric import plain_number
from occlusionformer.layout.problems import MOST_PROBLEMS, LayoutError, Path, Problem, shown
from occlusionformer.layout.text import LongNumber, Repeating


class Unfit(NamedTuple):
    """What no format can hold, wherever it is in a value; of each kind hardly more than can be listed."""

    names: list[Problem]
    """Repeated fields, and names that are no text."""
    numbers: list[Problem]
    """NaN and infinity."""


def unfit_parts(value: object, limits: DocumentLimits = LAYOUTS) -> Unfit:
    """What is wrong with the parts of a value, in their order.

    Raises LayoutError for a value beyond the limits: with more levels or values, longer texts or numbers.
    """
    return _Walk(limits).over(value)


def plain_value(value: object) -> object:
    """The same value with Python's own numbers in the place of numpy's, lists for tuples. For bounded values only."""
    if isinstance(value, Mapping):
        return {name: plain_value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(part) for part in value]
    return plain_number(value)


def is_told(problem: Problem, told: frozenset[Path]) -> bool:
    """Whether one of the places told of is that of a problem, or above it."""
    return any(problem.path[:length] in told for length in range(len(problem.path) + 1))


class _Walk:
    """Goes through a value part by part, never deeper than allowed."""

    def __init__(self, limits: DocumentLimits) -> None:
        self.limits = limits
        self.too_great = 10**limits.digits
        self.found = Unfit([], [])
        self.beyond: list[Problem] = []
        self.count = 0
        self.path: list[str | int] = []
        self.open: list[Iterator[tuple[Any, object]]] = []

    def over(self, value: object) -> Unfit:
        self.open.append(iter([(None, value)]))
        while self.open and len(self.beyond) <= MOST_PROBLEMS:
            name, part = next(self.open[-1], (None, _END))
            if part is _END:
                self.open.pop()
                if self.path:
                    self.path.pop()
            elif type(part) in _CONTAINERS or isinstance(part, Mapping | list | tuple):
                self._enter(name, part)
            else:
                self._look_at(name, part)
        if self.beyond:
            raise LayoutError(self.beyond)
        return self.found

    def _enter(self, name: Any, part: Any) -> None:
        if len(self.open) > 1:
            self.path.append(name)
        if len(self.open) > self.limits.levels:
            raise LayoutError([Problem(tuple(self.path[:3]), self.limits.too_deep())])
        self.count += len(part)
        if self.count > self.limits.values:
            raise LayoutError([self.limits.too_many("more")])
        if type(part) is dict or isinstance(part, Mapping):
            self._names(part)
            self.open.append(iter([(key, field) for key, field in part.items() if isinstance(key, str)]))
        else:
            self.open.append(iter(enumerate(part)))

    def _look_at(self, name: Any, part: object) -> None:
        if isinstance(part, str | bytes):
            if len(part) > self.limits.characters:
                self._report(self.beyond, name, self.limits.too_long(len(part)))
        elif isinstance(part, int):
            if not -self.too_great < part < self.too_great:
                self._report(self.beyond, name, self.limits.too_great(f"about {int(part.bit_length() * 0.30103) + 1}"))
        elif isinstance(part, LongNumber):
            self._report(self.beyond, name, self.limits.too_great(str(part.digits)))
        elif isinstance(part, float):
            if not math.isfinite(part) and len(self.found.numbers) <= MOST_PROBLEMS:  # texts of all would cost time
                self._report(self.found.numbers, name, f"expected a finite number, got {shown(part)}")
        elif (number := plain_number(part)) is not part:
            self._look_at(name, number)

    def _names(self, part: Mapping[Any, object]) -> None:
        texts = part if set(map(type, part)) <= {str} else [name for name in part if isinstance(name, str)]
        longest = max(map(len, texts), default=0)
        if longest > self.limits.characters:
            self._report(self.beyond, None, self.limits.too_long(longest))
        if texts is part and not isinstance(part, Repeating):
            return
        names = (name for name in part if not isinstance(name, str))
        unfit = (f"expected text as the name of a field, got {shown(name)}" for name in names)
        repeated = part.repeated if isinstance(part, Repeating) else ()
        again = (f"expected every field once, got {shown(name)} again" for name in repeated)
        for text in islice(chain(unfit, again), MOST_PROBLEMS + 1):
            self._report(self.found.names, None, text)

    def _report(self, problems: list[Problem], name: Any, text: str) -> None:
        if len(problems) <= MOST_PROBLEMS:
            problems.append(Problem((*self.path, *(() if name is None else (name,))), text))


_END = object()
_CONTAINERS = frozenset({dict, list, tuple})
"""Known at once; asking whether something is a Mapping takes longer."""
