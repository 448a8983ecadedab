"""Applies the rules of `data validate` to every record and picture before it is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from occlusionformer.data.records.checking import check_record
from occlusionformer.data.records.masks import box_of, is_empty
from occlusionformer.data.records.record import Box, Record, RecordInstance, record_of_part
from occlusionformer.data.records.repairs import Repairs, problem_line
from occlusionformer.data.records.shards import image_name
from occlusionformer.data.records.source import decode_image
from occlusionformer.layout.problems import Problem, shown


class RefusedRecordError(ValueError):
    """A record that breaks the rules; `problems` holds one line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Intake:
    """Checks records; `require` as in `check_record`. With `repairs`, faults are repaired where possible and noted."""

    require: Sequence[str] = ("captions",)
    repairs: Repairs | None = None

    def admit(self, record: Record, image: bytes | None = None) -> Record:
        """The record, after repairs, with at least one instance. Raises RefusedRecordError that lists all problems."""
        problems = check_record(record, require=self.require)
        if problems and self.repairs is not None:
            mended, repairs = self._mended(record, problems)
            if mended.instances:
                record, problems = mended, check_record(mended, require=self.require)
                self.repairs.note(record.provenance.source, record.image_id, repairs)
        if image is not None and not problems:
            problems = _image_problems(record, image)
        if problems:
            source = record.provenance.source or record.provenance.dataset
            raise RefusedRecordError(problem_line(source, record.image_id, problem) for problem in problems)
        return record

    def _mended(self, record: Record, problems: Sequence[Problem]) -> tuple[Record, list[Problem]]:
        """Repair a record: clip boxes or take them from masks; leave out instances that are still invalid."""
        repairs: list[Problem] = []
        instances = list(record.instances)
        for problem in problems:
            if len(problem.path) == 3 and problem.path[0] == "instances":
                _, place, name = problem.path
                if name in ("visible_box", "amodal_box") and isinstance(place, int):
                    _mend_box(instances, place, str(name), record, repairs, problem)
        record = replace(record, instances=tuple(instances))
        wrong: dict[int, list[str]] = {}
        for problem in check_record(record, require=self.require):
            if len(problem.path) > 1 and problem.path[0] == "instances" and isinstance(problem.path[1], int):
                wrong.setdefault(problem.path[1], []).append(str(problem))
        repairs += (
            Problem(("instances", place), f"instance left out: {'; '.join(reasons)}")
            for place, reasons in wrong.items()
        )
        kept = [place for place in range(len(instances)) if place not in wrong]
        return record_of_part(record, kept), repairs


def _mend_box(
    instances: list[RecordInstance], place: int, name: str, record: Record, repairs: list[Problem], problem: Problem
) -> None:
    box = _possible_box(instances[place], name, record)
    if box is not None and box != getattr(instances[place], name):
        instances[place] = replace(instances[place])
        setattr(instances[place], name, box)
        repairs.append(Problem(problem.path, f"became {shown(box)}: {problem.text}"))


def _possible_box(instance: RecordInstance, name: str, record: Record) -> Box | None:
    """The box of the mask, else the part of the given box that lies on the picture."""
    mask = getattr(instance, name.replace("box", "mask"))
    if mask is not None:
        try:
            return None if is_empty(mask) else box_of(mask)
        except ValueError:
            return None
    box = getattr(instance, name)
    if box is None or not all(map(math.isfinite, box)):
        return None
    width, height = float(record.width), float(record.height)
    x1, y1, x2, y2 = (min(max(edge, 0.0), side) for edge, side in zip(box, (width, height) * 2, strict=True))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _image_problems(record: Record, image: bytes) -> list[Problem]:
    try:
        image_name(record.image_id, image)
        decode_image(record, image)
    except ValueError as error:
        return [Problem(("image_file",), str(error).removeprefix(f"{record.image_id}: "))]
    return []
