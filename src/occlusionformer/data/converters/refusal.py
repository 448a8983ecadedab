"""A record of another data set that cannot be taken: where it is, and everything wrong with it."""

from __future__ import annotations

from collections.abc import Iterable

from occlusionformer.layout.problems import Problem, shown


class BadRecordError(ValueError):
    """Given by converters in place of the record, so that the rest of the file can still be read."""

    def __init__(self, file: str, record: str | int, problems: Iterable[Problem]) -> None:
        self.file = file
        self.record = record
        self.details = tuple(problems)
        assert self.details, "a refusal without a reason"
        super().__init__("\n".join(self.problems))

    @property
    def problems(self) -> list[str]:
        """One line for each."""
        return [f"{self.file}: record {shown(self.record)}: {problem}" for problem in self.details]
