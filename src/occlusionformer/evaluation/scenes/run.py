"""A run of the benchmark: draw, judge, add up, and write everything down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from occlusionformer.evaluation.running.code import code_version
from occlusionformer.evaluation.scenes.calibration import (
    Calibration,
    calibrate,
    calibration_as_json,
    judge_digest,
    recorded_calibration,
)
from occlusionformer.evaluation.scenes.control import Swap, control_order
from occlusionformer.evaluation.scenes.figures import Judged, figures, grouped
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.jury import Jury, shown
from occlusionformer.evaluation.scenes.layouts import LAYOUTS, SEED, SPLITS, BenchScene, Split, bench_scenes
from occlusionformer.evaluation.scenes.pictures import Drawer, Painter, Progress, Wanted
from occlusionformer.evaluation.scenes.robustness import PER_COUNT, Condition, measure_robustness
from occlusionformer.evaluation.scenes.scoring import score
from occlusionformer.layout import write_atomic

RESULTS, REPORT, PICTURES = "results.json", "report.html", "pictures"
FORMAT = 2
"""Of the results; raised when a key changes its meaning."""
CONTROLLED = 200
"""Pairs of the order control."""
CONTROLLED_SPLITS: tuple[Split, ...] = ("regular", "complex")
"""Where they come from, in this order: one from every layout that has one which can be swapped alone."""
CALIBRATED = 60
"""Layouts of every split whose pictures the judge is calibrated on."""
ROBUSTNESS_LAYOUTS = 50
"""Complex layouts that are changed for the robustness table."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What to measure."""

    splits: tuple[Split, ...] = SPLITS
    limit: int = LAYOUTS
    """Layouts of every split, pairs of the order control; fewer give figures of less weight."""
    calibrate: bool = False
    control: bool = False
    robustness: bool = False

    def __post_init__(self) -> None:
        problems = []
        unknown = [split for split in self.splits if split not in SPLITS]
        if unknown or not self.splits:
            problems.append(f"split: expected one or more of {', '.join(SPLITS)}, got {', '.join(unknown) or 'none'}")
        if not 1 <= self.limit <= LAYOUTS:
            problems.append(f"limit: expected 1 to {LAYOUTS}, got {self.limit}")
        if problems:
            raise ValueError("\n".join(problems))


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that was measured."""

    painter: Painter
    wishes: Wishes
    code: dict[str, Any]
    splits: Mapping[Split, list[Judged]]
    calibration: Calibration | None
    control: list[Swap] | None
    robustness: list[Condition] | None


def run_benchmark(painter: Painter, wishes: Wishes, *, progress: Progress, workers: int = 1) -> Results:
    """Pictures go to the painter's folder as they are drawn; a run that was stopped goes on there.

    workers: processes that judge; the results are the same with any number.
    """
    drawer = Drawer(painter)
    control = robustness = known = None
    with Jury(workers) as jury:
        scenes = {split: _seeded(split, wishes.limit) for split in wishes.splits}
        splits = {split: _judge_all(split, seeded, drawer, jury, progress) for split, seeded in scenes.items()}
        if wishes.control:
            several = (one for split in CONTROLLED_SPLITS for one in _seeded(split, min(2 * wishes.limit, LAYOUTS)))
            limit = min(wishes.limit, CONTROLLED)
            control = control_order(several, limit=limit, drawer=drawer, jury=jury, progress=progress)
        if wishes.robustness:
            robustness = measure_robustness(
                _seeded("complex", min(wishes.limit, ROBUSTNESS_LAYOUTS)),
                per_count=min(wishes.limit, PER_COUNT),
                drawer=drawer,
                jury=jury,
                progress=progress,
            )
    if wishes.calibrate:
        known = calibrate(
            {split: bench_scenes(split, min(wishes.limit, CALIBRATED)) for split in wishes.splits},
            progress=progress,
            workers=workers,
        )
    return Results(
        painter=painter,
        wishes=wishes,
        code=code_version(),
        splits=splits,
        calibration=known or recorded_calibration(),
        control=control,
        robustness=robustness,
    )


def write_results(results: Results, folder: Path) -> None:
    """The results as JSON."""
    write_atomic(folder / RESULTS, json.dumps(results_as_json(results), indent=1, sort_keys=True) + "\n")


def results_as_json(results: Results) -> dict[str, Any]:
    """What `results.json` holds."""
    painter, wishes = results.painter, results.wishes
    return {
        "format": FORMAT,
        "benchmark": "scenes",
        "provenance": {
            "code": results.code,
            "model": painter.model,
            "weights": painter.weights,
            "steps": painter.steps,
            "size": painter.size,
            "judge": judge_digest(),
            "edition": EDITION,
            "layouts_seed": SEED,
            "layouts_per_split": wishes.limit,
            "complete": wishes.limit == LAYOUTS and set(wishes.splits) == set(SPLITS),
        },
        "splits": {
            split: {
                "figures": figures_as_json(judged),
                "groups": {name: figures_as_json(group) for name, group in groups_of(judged).items()},
                "pictures": [_picture_as_json(one) for one in judged],
            }
            for split, judged in results.splits.items()
        },
        "calibration": None if results.calibration is None else calibration_as_json(results.calibration),
        "order_control": None if results.control is None else control_as_json(results.control),
        "robustness": None if results.robustness is None else [asdict(one) for one in results.robustness],
    }


def figures_as_json(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    return {name: asdict(figure) for name, figure in figures([one.score for one in judged]).items()}


def groups_of(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    """By what training knows of the layouts, and by how many instances they have."""
    known = grouped(
        judged, lambda one: "held-out pairs and words" if one.scene.held_out else "pairs and words of training"
    )
    counts = grouped(judged, lambda one: _count_group(len(one.scene.placed)))
    return {**known, **counts}


def control_as_json(swaps: Sequence[Swap]) -> dict[str, Any]:
    """Shares over all pairs, and every pair."""
    return {**control_figures(swaps), "swaps": [_swap_as_json(one) for one in swaps]}


def control_figures(swaps: Sequence[Swap]) -> dict[str, float | int | None]:
    """Shares over all pairs; None without any."""
    count = len(swaps)
    if not count:
        return {
            "pairs": 0,
            "flipped": None,
            "right_before": None,
            "right_after": None,
            "changed_outside": None,
            "changed_inside": None,
        }
    return {
        "pairs": count,
        "flipped": sum(one.flipped for one in swaps) / count,
        "right_before": sum(one.before == 1 for one in swaps) / count,
        "right_after": sum(one.after == -1 for one in swaps) / count,
        "changed_outside": sum(one.changed_outside for one in swaps) / count,
        "changed_inside": sum(one.changed_inside for one in swaps) / count,
    }


def _seeded(split: Split, limit: int) -> list[tuple[BenchScene, int]]:
    """Layouts with the seeds their pictures are drawn with."""
    first = SPLITS.index(split) * LAYOUTS
    return [(scene, first + number) for number, scene in enumerate(bench_scenes(split, limit))]


def _judge_all(
    split: str, seeded: Sequence[tuple[BenchScene, int]], drawer: Drawer, jury: Jury, progress: Progress
) -> list[Judged]:
    wanted = [Wanted(key=scene.key, scene=scene, seed=seed) for scene, seed in seeded]
    paths = drawer.draw(wanted, title=split, progress=progress)
    verdicts = jury.verdicts(shown(path, one.scene) for one, path in zip(wanted, paths, strict=True))
    progress(f"judging: {split}", 0, len(wanted))
    judged = []
    for one, path, verdict in zip(wanted, paths, verdicts, strict=True):
        result = score(one.scene, verdict)
        judged.append(Judged(key=one.key, scene=one.scene, verdict=verdict, score=result, picture=path))
        progress(f"judging: {split}", len(judged), len(wanted))
    return judged


def _picture_as_json(one: Judged) -> dict[str, Any]:
    return {
        "key": one.key,
        "picture": None if one.picture is None else f"{PICTURES}/{one.picture.name}",
        "held_out": one.scene.held_out,
        "score": asdict(one.score),
        "sightings": [asdict(sighting) for sighting in one.verdict.sightings],
        "order": one.verdict.order.tolist(),
        "truth": one.scene.truth.order.tolist(),
    }


def _swap_as_json(one: Swap) -> dict[str, Any]:
    return {**asdict(one), "pictures": [f"{PICTURES}/{path.name}" for path in one.pictures]}


def _count_group(count: int) -> str:
    for least, most in ((1, 3), (4, 6), (7, 9)):
        if count <= most:
            return f"{least} to {most} instances"
    return "10 to 12 instances"
