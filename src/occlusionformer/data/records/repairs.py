"""Records every repair made to records on their way into a data set; none is silent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from occlusionformer.layout.problems import Problem, shown


@dataclass
class Repairs:
    """Repairs of all accepted records. Readers note repairs; they are kept once the record is accepted."""

    made: list[str] = field(default_factory=list)
    """One line for each, with file, record and field."""
    _of_this_record: list[str] = field(default_factory=list)

    def note(self, file: str, record: str | int | None, repairs: Iterable[Problem]) -> None:
        """Note a repair of a record that is not accepted yet."""
        self._of_this_record += (problem_line(file, record, repair) for repair in repairs)

    def keep(self) -> None:
        """Keep the notes: the record was accepted."""
        self.made += self._of_this_record
        self._of_this_record = []

    def forget(self) -> None:
        """Drop the notes: the record was refused."""
        self._of_this_record = []


def problem_line(file: str, record: str | int | None, problem: Problem) -> str:
    """A problem with its file and record; no record for what belongs to none."""
    where = f"{file}: " if record is None else f"{file}: record {shown(record)}: "
    return f"{where}{problem}"
