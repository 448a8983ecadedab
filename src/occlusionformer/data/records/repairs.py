"""What was put right in records on their way into a data set: every repair is told, none is silent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from occlusionformer.layout.problems import Problem, shown


@dataclass
class Repairs:
    """Of all records that were taken. Whoever reads records notes what it mends; whoever takes them keeps the notes."""

    made: list[str] = field(default_factory=list)
    """One line for each, with file, record and field."""
    _of_this_record: list[str] = field(default_factory=list)

    def note(self, file: str, record: str | int | None, repairs: Iterable[Problem]) -> None:
        """Repairs of a record that is still to be taken."""
        self._of_this_record += (problem_line(file, record, repair) for repair in repairs)

    def keep(self) -> None:
        """The record was taken."""
        self.made += self._of_this_record
        self._of_this_record = []

    def forget(self) -> None:
        """The record was refused, whatever had been mended in it."""
        self._of_this_record = []


def problem_line(file: str, record: str | int | None, problem: Problem) -> str:
    """A problem with its file and record; no record for what belongs to none."""
    where = f"{file}: " if record is None else f"{file}: record {shown(record)}: "
    return f"{where}{problem}"
