"""How far the judge can be trusted: what it says of pictures about which everything is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np

from occlusionformer.evaluation.scenes.figures import Figure, decided_right, figures
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.jury import Jury, shown
from occlusionformer.evaluation.scenes.known import KINDS, LIGHTS, ORDERS, Painting
from occlusionformer.evaluation.scenes.layouts import BenchScene, Split
from occlusionformer.evaluation.scenes.pictures import Progress
from occlusionformer.evaluation.scenes.scoring import Score, score

RECORD = "calibration.json"
"""The calibration that ships with the package."""
JUDGE_FILES = (
    "appearance",
    "blocks",
    "canvas",
    "explain",
    "fitting",
    "ground",
    "identity",
    "judge",
    "lighting",
    "pairs",
    "search",
    "templates",
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One kind of known picture of one split, and what came out."""

    kind: str
    split: Split
    figures: dict[str, Figure]
    decided_right: float | None
    """Share of right ones among the pairs that could be decided: one half is chance."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """All trials of one judge."""

    judge: str
    """Digest of the judge's code and of the artwork."""
    edition: int
    layouts: int
    """Of every split."""
    trials: tuple[Trial, ...]


def calibrate(
    scenes: Mapping[Split, Sequence[BenchScene]],
    *,
    progress: Progress,
    workers: int = 1,
) -> Calibration:
    """Judge known pictures of these layouts: of the last split all kinds, of the others true ones and other lights.

    The figures do not depend on the number of processes.
    """
    trials = []
    hardest = list(scenes)[-1]
    with Jury(workers) as jury:
        for split, each in scenes.items():
            kinds = KINDS if split == hardest else {**ORDERS, **LIGHTS}
            for number, (kind, paint) in enumerate(kinds.items()):
                scores = _scores(each, number, paint, jury, partial(progress, f"calibration: {split}, {kind}"))
                trials.append(
                    Trial(kind=kind, split=split, figures=figures(scores), decided_right=decided_right(scores))
                )
    layouts = max((len(each) for each in scenes.values()), default=0)
    return Calibration(judge=judge_digest(), edition=EDITION, layouts=layouts, trials=tuple(trials))


def _scores(
    scenes: Sequence[BenchScene], seed: int, paint: Painting, jury: Jury, progress: Callable[[int, int], None]
) -> list[Score]:
    progress(0, len(scenes))
    painted = (shown(paint(scene, np.random.default_rng([number, seed])), scene) for number, scene in enumerate(scenes))
    scores: list[Score] = []
    for scene, verdict in zip(scenes, jury.verdicts(painted), strict=True):
        scores.append(score(scene, verdict))
        progress(len(scores), len(scenes))
    return scores


def judge_digest() -> str:
    """Changes with anything that may change a verdict."""
    here, art = files("occlusionformer.evaluation.scenes"), files("occlusionformer.data") / "art"
    sources = [(here / f"{name}.py").read_text(encoding="utf-8").encode() for name in JUDGE_FILES]
    sources += [(art / name).read_bytes() for name in ("atlas.webp", "objects.json")]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]


def recorded_calibration() -> Calibration | None:
    """The one that ships with the package; None where that is of a judge of another edition."""
    path = files("occlusionformer.evaluation.scenes") / RECORD
    value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return calibration_of_json(value) if value.get("edition") == EDITION else None


def calibration_as_json(calibration: Calibration) -> dict[str, Any]:
    return asdict(calibration)


def calibration_of_json(value: dict[str, Any]) -> Calibration:
    trials = tuple(
        Trial(
            kind=one["kind"],
            split=one["split"],
            figures={name: Figure(**figure) for name, figure in one["figures"].items()},
            decided_right=one["decided_right"],
        )
        for one in value["trials"]
    )
    return Calibration(judge=value["judge"], edition=value["edition"], layouts=value["layouts"], trials=trials)
