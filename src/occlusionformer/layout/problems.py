"""What is wrong with a document: every problem at once, each with its path, the value and what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from occlusionformer.layout.numeric import plain_number

Path = tuple[str | int, ...]

LONGEST_VALUE = 60
"""Characters of a value that a message shows."""

MOST_PARTS = 25
"""Items of a list, and names of an object, that a message looks at."""

MOST_PROBLEMS = 100
"""Problems that one error lists: looking for more of them costs more than anybody reads."""

_PLAIN_NAME = re.compile(r"[A-Za-z_$][\w$-]*", re.ASCII)


class Problem(NamedTuple):
    """One thing that is wrong, and where."""

    path: Path
    text: str

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.text}" if self.path else self.text

    def under(self, parent: Path) -> Problem:
        """The same problem seen from the document that holds this part at `parent`."""
        return self if self == MORE else Problem((*parent, *self.path), self.text)


MORE = Problem((), f"and more: only the first {MOST_PROBLEMS} problems are listed")
"""Ends a list that is not complete."""


class LayoutError(ValueError):
    """What is wrong with a layout; `problems` holds one line for each thing, and one for those beyond MOST_PROBLEMS.

    No more problems are taken from what is passed in than are listed. A text is one problem: that is how worker
    processes hand an error on.
    """

    def __init__(self, problems: str | Iterable[str | Problem]) -> None:
        problems = [problems] if isinstance(problems, str) else problems
        self.details = _listed(line if isinstance(line, Problem) else Problem((), line) for line in problems)
        assert self.details, "an error without a problem"
        super().__init__(self.details)

    @property
    def problems(self) -> list[str]:
        return [str(problem) for problem in self.details]

    def under(self, parent: Path) -> LayoutError:
        """The same error with `parent` in front of every path."""
        return LayoutError(problem.under(parent) for problem in self.details)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class Findings:
    """Problems as they are found. Finding more than are listed ends the search with a LayoutError."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.found.append(problem)
            if len(self.found) > MOST_PROBLEMS:
                self.raise_any()

    def raise_any(self) -> None:
        """Raises LayoutError when there is a problem."""
        if self.found:
            raise LayoutError(self.found)


def _listed(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Every problem once, up to those that are listed; MORE goes last."""
    listed: dict[Problem, None] = {}
    is_cut = False
    for problem in problems:
        if problem == MORE:
            is_cut = True
        elif len(listed) < MOST_PROBLEMS:
            listed[problem] = None
        elif problem not in listed:
            is_cut = True
            break
    return (*listed, MORE) if is_cut else tuple(listed)


def path_text(path: Path) -> str:
    """`("instances", 2, "box")` as `instances[2].box`; names that are not plain words go into brackets."""
    text = ""
    for part in path:
        if isinstance(part, str) and len(part) > LONGEST_VALUE:
            text += f"[{part[:LONGEST_VALUE]!r}...]"
            continue
        if isinstance(part, str) and _PLAIN_NAME.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def shown(value: object, levels: int = 3) -> str:
    """A value as a message shows it: JSON's words for constants; long and deep ones cut."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of more than 60 digits"
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return f"{value[:LONGEST_VALUE]!r}..."
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        return (
            f"an object with {_cut(', '.join(map(shown, islice(value, MOST_PARTS))))}" if value else "an empty object"
        )
    if isinstance(value, list | tuple):
        items = [shown(item, levels - 1) for item in value[:MOST_PARTS]] if levels else ["..."]
        return _cut(f"[{', '.join(items)}]")
    return _cut(repr(plain_number(value)))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def one_of(choices: Iterable[object], joint: str = "or") -> str:
    """`a, b or c`."""
    *most, last = map(str, choices)
    return f"{', '.join(most)} {joint} {last}" if most else last


_EXPECTED = {
    "string_type": "text",
    "string_unicode": "text that can be written as UTF-8",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "too_long": "{max_length} values",
}
"""pydantic's error types in our words."""


def problems_of_validation(error: ValidationError, fields: Iterable[str], silent: frozenset[str]) -> list[Problem]:
    """What pydantic found, in our words.

    `fields` are the fields of the model, named when it was given another; `silent` are the
    parts of pydantic's paths that no document contains.
    """
    found: list[Problem] = []
    for line in error.errors(include_url=False):
        path = tuple(part for part in line["loc"] if part not in silent)
        context = {name: _plain(value) for name, value in line.get("ctx", {}).items()}
        cause = context.get("error")
        if isinstance(cause, LayoutError):
            found += cause.under(path).details
        elif line["type"] == "missing":
            found.append(Problem(path, "expected a value, got nothing"))
        elif line["type"] == "extra_forbidden":
            found.append(Problem(path, f"unknown field; expected {one_of(fields)}"))
        else:
            known = _EXPECTED.get(line["type"])
            expected = known.format(**context) if known else line["msg"].removeprefix("Input should be ")
            found.append(Problem(path, f"expected {expected}, got {shown(line['input'])}"))
    return found


def _plain(limit: object) -> object:
    """1.0 as 1."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit
