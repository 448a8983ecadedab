"""Where a study keeps what, and who works on which part of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from occlusionformer.layout import write_atomic
from occlusionformer.study.plan import BACKBONE, StudyCell, StudyPlan
from occlusionformer.training.overrides import SettingsError

PLAN, RESULT, COSTS, PAGE, TABLE = "plan.json", "study.json", "costs.json", "study.html", "study.md"
SEARCHED, TRAINED, DRAWN = "search.json", "trained.json", "drawing.json"


class StudyFolder:
    """The folder of a study; several processes and machines may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, plan: StudyPlan) -> None:
        """Lay the folder out, or go on with one of the same plan, wherever the backbone's weights lie.

        The plan may have got more cells and seeds, and another length of the runs in which rates are chosen. Raises
        SettingsError for another plan or another backbone.
        """
        if self.path.exists() and not self.path.is_dir():
            raise SettingsError([f"out: expected a folder, got the file {self.path}"])
        self.path.mkdir(parents=True, exist_ok=True)
        place, now = self.path / PLAN, {**plan.model_dump(mode="json"), "backbone": backbone_digest(plan)}
        with self.claimed("plan", wait=True):
            before = json.loads(place.read_text(encoding="utf-8")) if place.exists() else None
            if before is not None and (different := _different(before, json.loads(json.dumps(now)))):
                raise SettingsError(
                    [f"{name}: expected that of the study in {self.path}, got another" for name in different]
                )
            if before != now:
                write_atomic(place, json.dumps(now, indent=1) + "\n")

    def cell(self, cell: StudyCell) -> Path:
        return self.path / "cells" / cell.name

    def search(self, cell: StudyCell) -> Path:
        """The folder of the short runs in which a cell's rate or variant is chosen."""
        return self.cell(cell) / "search"

    def training(self, cell: StudyCell, seed: int) -> Path:
        return self.cell(cell) / f"seed-{seed}" / "train"

    def judging(self, cell: StudyCell, seed: int, benchmark: str) -> Path:
        return self.cell(cell) / f"seed-{seed}" / benchmark

    @contextlib.contextmanager
    def claimed(self, name: str, *, wait: bool = False) -> Iterator[bool]:
        """Whether this process alone has a part of the study now; a process that dies gives back what it had."""
        claims = self.path / "claims"
        claims.mkdir(parents=True, exist_ok=True)
        with (claims / name).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True


def _different(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Fields that are not what they were, but for what a plan may get: cells, wherever they stand, further seeds, and
    another length of the runs in which rates are chosen."""
    found = {name for name in {*before, *now} if before.get(name) != now.get(name)} - {"search_images"}
    if all(cell in now["cells"] for cell in before["cells"]):
        found.discard("cells")
    if now["seeds"][: len(before["seeds"])] == before["seeds"]:
        found.discard("seeds")
    return sorted(found)


def backbone_digest(plan: StudyPlan) -> str | None:
    """The SHA-256 of the weights that all cells start from; None where they start from fresh ones."""
    if plan.backbone is None:
        return None
    with (plan.backbone / BACKBONE).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file holds; None where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    assert isinstance(value, dict)
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all; the same bytes for the same value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
