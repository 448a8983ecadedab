"""What a run of the benchmark found, as JSON: `results.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from occlusionformer.evaluation.benchmark import BenchmarkItem, Question
from occlusionformer.evaluation.benchmarks.sources.scenes import HELD_OUT
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.reports.cases import per_picture
from occlusionformer.evaluation.reports.pictures import picture_path
from occlusionformer.evaluation.scenes.calibration import calibration_as_json
from occlusionformer.evaluation.scenes.control import Swap, control_figures, swaps_of
from occlusionformer.evaluation.scenes.edition import judge_digest
from occlusionformer.evaluation.scenes.figures import COLUMNS, NOTHING, by_column, figures
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.layouts import LAYOUTS, SEED, SPLITS
from occlusionformer.evaluation.scenes.measuring import Measured, Results
from occlusionformer.evaluation.scores import Score
from occlusionformer.evaluation.specs.occlusion import ORDER
from occlusionformer.evaluation.specs.success_rate import ENTITY
from occlusionformer.layout import write_atomic

RESULTS, REPORT = "results.json", "report.html"
FORMAT = 2
"""Of the results; raised when a key changes its meaning."""
OBEYED = "occ_f1_obeyed"
"""The column of Occ against the order that was declared."""


def write_results(results: Results, folder: Path) -> None:
    """The results as JSON."""
    write_atomic(folder / RESULTS, json.dumps(results_as_json(results, folder), indent=1, sort_keys=True) + "\n")


def results_as_json(results: Results, folder: Path) -> dict[str, Any]:
    """What `results.json` holds; pictures are named from its folder."""
    model, wishes = results.model, results.wishes
    return {
        "format": FORMAT,
        "benchmark": "scenes",
        "provenance": {
            "code": results.code,
            "model": model.name,
            "weights": model.weights,
            "steps": model.steps,
            "size": model.size,
            "judge": judge_digest(),
            "edition": EDITION,
            "layouts_seed": SEED,
            "layouts_per_split": wishes.limit,
            "complete": wishes.limit == LAYOUTS and set(wishes.splits) == set(SPLITS),
        },
        "splits": {
            split: {
                "figures": figures_as_json(measured.result.scores),
                "groups": {name: figures_as_json(scores) for name, scores in measured.result.groups.items()},
                "pictures": picture_rows(measured, folder),
                "run": _from(folder, measured.result.path),
            }
            for split, measured in results.splits.items()
        },
        "calibration": None if results.calibration is None else calibration_as_json(results.calibration),
        "order_control": None if results.control is None else control_as_json(results.control, folder),
        "robustness": None if results.robustness is None else robustness_rows(results.robustness),
    }


def figures_as_json(scores: Iterable[Score]) -> dict[str, dict[str, Any]]:
    return {name: asdict(figure) for name, figure in figures(scores).items()}


def control_as_json(measured: Measured, folder: Path) -> dict[str, Any]:
    """Shares over all pairs, and every pair."""
    swaps = swaps_of(measured.result, measured.recorded)
    return {**control_figures(swaps), "swaps": [_swap_as_json(one, folder) for one in swaps]}


def robustness_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row for every condition: order against what is true of the scene, boxes against those declared."""
    counts = {group["name"]: len(group["keys"]) for group in measured.result.document["groups"]}
    return [
        {
            "name": name,
            "layouts": counts[name],
            "figures": figures_as_json(scores),
            "obeyed": asdict(by_column(scores).get(OBEYED, NOTHING)),
        }
        for name, scores in measured.result.groups.items()
    ]


def picture_rows(measured: Measured, folder: Path) -> list[dict[str, Any]]:
    """Every picture with its figures, what the judge saw at the place of every instance, and who hides whom."""
    columns = {score.column.name: score for score in measured.result.scores}
    values = {name: per_picture(columns[column]) if column in columns else {} for name, column in COLUMNS.items()}
    decided = columns["decided_right"]
    right = dict(zip(decided.keys, zip(decided.totals, decided.weights, strict=True), strict=True))
    rows = []
    for key, item in measured.recorded.items.items():
        count, of = right.get(key, (0.0, 0.0))
        figure = {name: known.get(key) for name, known in values.items()}
        rows.append(
            {
                "key": key,
                "picture": _from(folder, picture_path(measured.result, item)),
                "held_out": HELD_OUT in item.groups,
                "score": {**figure, "pairs": len(item.truth.overlap_pairs), "decided": int(of), "right": int(count)},
                "sightings": json.loads(_reply(measured, item) or "[]"),
                "order": answer_of(measured, item, ORDER),
                "truth": item.truth.order,
            }
        )
    return rows


def answer_of(measured: Measured, item: BenchmarkItem, question: Question) -> Json:
    """What the judge answered; None where it did not."""
    return measured.recorded.store.answers(item, [question]).get(question)


def _reply(measured: Measured, item: BenchmarkItem) -> str | None:
    record = measured.recorded.store.record(item, ENTITY)
    return None if record is None else record.reply


def _swap_as_json(one: Swap, folder: Path) -> dict[str, Any]:
    return {**asdict(one), "pictures": [_from(folder, path) for path in one.pictures]}


def _from(folder: Path, path: Path | None) -> str | None:
    return None if path is None else path.relative_to(folder).as_posix()
