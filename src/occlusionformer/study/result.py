"""What a study found: every figure of every cell with its interval, and the differences to the reference cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from occlusionformer.evaluation.running.result import read_result
from occlusionformer.evaluation.scenes.figures import COLUMNS
from occlusionformer.evaluation.scores import Score
from occlusionformer.study.folder import COSTS, DRAWN, RESULT, SEARCHED, TRAINED, StudyFolder, read_json, write_json
from occlusionformer.study.plan import StudyCell, StudyPlan
from occlusionformer.study.running import log_rows
from occlusionformer.study.statistics import Estimate, SeededColumn, difference, estimate, layout_draws

FORMAT = 1
Figures = Mapping[str, Estimate]


class StudyResult:
    """The figures of a study, of as many seeds as every cell has been judged for."""

    def __init__(self, plan: StudyPlan, folder: StudyFolder) -> None:
        self.plan, self.folder = plan, folder
        self._scores = {
            (cell.name, benchmark): self._read(cell, benchmark) for cell in plan.cells for benchmark in plan.benchmarks
        }

    def _read(self, cell: StudyCell, benchmark: str) -> list[dict[str, Score]]:
        """The scores of every seed by column."""
        places = [self.folder.judging(cell, seed, benchmark) for seed in self.plan.seeds_of(cell)]
        found = [read_result(place) for place in places if (place / "result.json").exists()]
        return [{score.column.name: score for score in result.scores if score.keys} for result in found]

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """All layouts of every benchmark."""
        return {
            benchmark: sorted(
                {
                    key
                    for cell in self.plan.cells
                    for scores in self._scores[cell.name, benchmark]
                    for score in scores.values()
                    for key in score.keys
                }
            )
            for benchmark in self.plan.benchmarks
        }

    @cached_property
    def _draws(self) -> dict[str, np.ndarray]:
        return {
            name: layout_draws(max(1, len(keys)), 10 + place) for place, (name, keys) in enumerate(self._keys.items())
        }

    def _column(self, cell: StudyCell, benchmark: str, figure: str) -> tuple[float | None, np.ndarray]:
        """The value of a figure and its resamples."""
        scores = [each[COLUMNS[figure]] for each in self._scores[cell.name, benchmark] if COLUMNS[figure] in each]
        draws_RL = self._draws[benchmark]
        if not scores:
            return None, np.full(len(draws_RL), np.nan)
        column = SeededColumn.of(scores, self._keys[benchmark])
        stream = 1_000 + [other.name for other in self.plan.cells].index(cell.name)
        return column.value, column.resampled(draws_RL, stream)

    def figures(self, cell: StudyCell, benchmark: str) -> Figures:
        """Every figure of a cell on a benchmark."""
        return {name: estimate(*self._column(cell, benchmark, name)) for name in COLUMNS}

    def advantage(self, cell: StudyCell, benchmark: str) -> Figures:
        """The reference cell less this one, on the same layouts."""
        return {name: estimate(*self._less(cell, benchmark, name)) for name in COLUMNS}

    def growth(self, cell: StudyCell) -> Figures:
        """How much greater the advantage is on the last benchmark than on the first."""
        found = {}
        for name in COLUMNS:
            first, last = (self._less(cell, self.plan.benchmarks[place], name) for place in (0, -1))
            found[name] = estimate(difference(last[0], first[0]), last[1] - first[1])
        return found

    def _less(self, cell: StudyCell, benchmark: str, figure: str) -> tuple[float | None, np.ndarray]:
        reference = self._column(self.plan.cell(self.plan.reference), benchmark, figure)
        other = self._column(cell, benchmark, figure)
        return difference(reference[0], other[0]), reference[1] - other[1]

    def seeds(self, cell: StudyCell) -> int:
        """Seeds for which all benchmarks of a cell have been judged."""
        return min(len(self._scores[cell.name, benchmark]) for benchmark in self.plan.benchmarks)

    def as_json(self) -> dict[str, Any]:
        """What `study.json` holds: the same bytes however often the study was stopped."""
        return {
            "format": FORMAT,
            "plan": self.plan.model_dump(mode="json", exclude={"backbone"}),
            "complete": all(self.seeds(cell) == len(self.plan.seeds_of(cell)) for cell in self.plan.cells),
            "cells": {cell.name: self._cell_as_json(cell) for cell in self.plan.cells},
        }

    def _cell_as_json(self, cell: StudyCell) -> dict[str, Any]:
        facts = [read_json(self.folder.training(cell, seed).parent / TRAINED) for seed in self.plan.seeds_of(cell)]
        is_reference = cell.name == self.plan.reference
        return {
            "seeds": self.seeds(cell),
            "chosen": read_json(self.folder.search(cell) / SEARCHED),
            "runs": [one for one in facts if one is not None],
            "figures": {name: _as_json(self.figures(cell, name)) for name in self.plan.benchmarks},
            "advantage": None
            if is_reference
            else {name: _as_json(self.advantage(cell, name)) for name in self.plan.benchmarks},
            "growth": None if is_reference else _as_json(self.growth(cell)),
        }

    def costs(self) -> dict[str, Any]:
        """Seconds that trainings took, images a second, and how long a picture takes; these differ from run to run."""
        return {cell.name: self._costs_of(cell) for cell in self.plan.cells}

    def _costs_of(self, cell: StudyCell) -> dict[str, Any]:
        runs = [_cost(self.folder.training(cell, seed)) for seed in self.plan.seeds_of(cell) if cell.trained]
        return {"training": runs, "drawing": read_json(self.folder.cell(cell) / DRAWN)}

    def write(self) -> None:
        """`study.json` and `costs.json`."""
        write_json(self.folder.path / RESULT, self.as_json())
        write_json(self.folder.path / COSTS, self.costs())


def _as_json(figures: Figures) -> dict[str, Any]:
    return {name: asdict(found) for name, found in figures.items() if found.value is not None}


def _cost(run: Path) -> dict[str, float] | None:
    """From the lines of the log, so that it counts what led to the weights and not what a kill threw away."""
    rows = [row for row in (log_rows(run) if (run / "log.jsonl").exists() else []) if "images_per_second" in row]
    if not rows:
        return None
    images: Sequence[float] = [row["images"] for row in rows]
    parts = zip([0.0, *images], images, rows, strict=False)
    seconds = sum((now - before) / row["images_per_second"] for before, now, row in parts)
    return {"images": images[-1], "seconds": seconds, "images_per_second": images[-1] / seconds}
