"""The error for a record of another data set that cannot be converted, with all its problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from occlusionformer.data.converters.fields import Fields
from occlusionformer.data.records.repairs import problem_line
from occlusionformer.layout.problems import Path, Problem


class BadRecordError(ValueError):
    """Yielded by converters in place of a record, so that the rest of the file can still be read.

    `record` is its id; None for problems that belong to no record.
    """

    def __init__(self, file: str, record: str | int | None, problems: Iterable[Problem]) -> None:
        self.file = file
        self.record = record
        self.details = tuple(problems)
        assert self.details, "a refusal without a reason"
        super().__init__("\n".join(self.problems))

    @property
    def problems(self) -> list[str]:
        """The problems as lines of text."""
        return [problem_line(self.file, self.record, problem) for problem in self.details]


def kept_rows(fields: Fields, rows: Path, keys: Sequence[str | int]) -> list[int]:
    """Places of the rows of instances, at `rows` under their `keys`, that are kept: all, unless faults are repaired.

    Then those with faults of their own are left out, and the faults become repairs; unless none would be left.
    """
    everything = list(range(len(keys)))
    if fields.repairs is None:
        return everything
    rest: list[Problem] = []
    lost: dict[str | int, list[str]] = {}
    for problem in fields.problems:
        if problem.path[: len(rows)] == rows and len(problem.path) > len(rows):
            lost.setdefault(problem.path[len(rows)], []).append(str(problem))
        else:
            rest.append(problem)
    kept = [place for place in everything if keys[place] not in lost]
    if not kept:
        return everything
    fields.problems[:] = rest
    fields.repairs += (
        Problem((*rows, key), f"instance left out: {'; '.join(reasons)}") for key, reasons in lost.items()
    )
    return kept
