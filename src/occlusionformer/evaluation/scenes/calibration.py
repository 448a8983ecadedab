"""How far the judge can be trusted: what it says of pictures about which everything is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from occlusionformer.evaluation.scenes.figures import Figure, decided_right, figures
from occlusionformer.evaluation.scenes.jury import Jury
from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.evaluation.scenes.pictures import Progress
from occlusionformer.evaluation.scenes.scoring import score

RECORD = "calibration.json"
"""The calibration on all complex layouts that ships with the package."""
SOFT_BLUR = 2.0
"""Radius in pixels of the blur of soft renders; a small model's pictures are about as soft."""
JUDGE_FILES = ("explain", "fitting", "identity", "judge", "pairs", "search", "templates")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One kind of known picture, and what came out."""

    kind: str
    figures: dict[str, Figure]
    decided_right: float | None
    """Share of right ones among the pairs that could be decided: one half is chance."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """All trials of one judge."""

    judge: str
    """Digest of the judge's code and of the artwork."""
    layouts: int
    trials: tuple[Trial, ...]


def calibrate(scenes: Sequence[BenchScene], *, progress: Progress, workers: int = 1) -> Calibration:
    """Judge known pictures of these layouts; the figures do not depend on the number of processes that do."""
    trials = []
    with Jury(workers) as jury:
        for kind, paint in KINDS.items():
            progress(f"calibration: {kind}", 0, len(scenes))
            seeds = ([number, len(kind)] for number in range(len(scenes)))
            painted = (
                (paint(scene, np.random.default_rng(seed)), scene.names)
                for scene, seed in zip(scenes, seeds, strict=True)
            )
            scores = []
            for scene, verdict in zip(scenes, jury.verdicts(painted), strict=True):
                scores.append(score(scene, verdict))
                progress(f"calibration: {kind}", len(scores), len(scenes))
            trials.append(Trial(kind=kind, figures=figures(scores), decided_right=decided_right(scores)))
    return Calibration(judge=judge_digest(), layouts=len(scenes), trials=tuple(trials))


def judge_digest() -> str:
    """Changes with anything that may change a verdict."""
    here, art = files("occlusionformer.evaluation.scenes"), files("occlusionformer.data") / "art"
    sources = [(here / f"{name}.py").read_text(encoding="utf-8").encode() for name in JUDGE_FILES]
    sources += [(art / name).read_bytes() for name in ("atlas.webp", "objects.json")]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]


def recorded_calibration() -> Calibration | None:
    """The one that ships with the package."""
    path = files("occlusionformer.evaluation.scenes") / RECORD
    return calibration_of_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def calibration_as_json(calibration: Calibration) -> dict[str, Any]:
    return asdict(calibration)


def calibration_of_json(value: dict[str, Any]) -> Calibration:
    trials = tuple(
        Trial(
            kind=one["kind"],
            figures={name: Figure(**figure) for name, figure in one["figures"].items()},
            decided_right=one["decided_right"],
        )
        for one in value["trials"]
    )
    return Calibration(judge=value["judge"], layouts=value["layouts"], trials=trials)


def _true(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.render()


def _reversed(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.render(scene.back_to_front[::-1])


def _shuffled(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.render([int(place) for place in rng.permutation(len(scene.placed))])


def _soft(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(Image.fromarray(scene.render()).filter(ImageFilter.GaussianBlur(SOFT_BLUR)))


def _noise(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, scene.background.pixels.shape, dtype=np.uint8)


def _blotches(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    size = len(scene.background.pixels)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def _empty(scene: BenchScene, rng: np.random.Generator) -> np.ndarray:
    return scene.render([])


KINDS: dict[str, Callable[[BenchScene, np.random.Generator], np.ndarray]] = {
    "true renders": _true,
    "true renders, blurred": _soft,
    "reversed orders": _reversed,
    "random orders": _shuffled,
    "noise": _noise,
    "coloured blotches": _blotches,
    "background alone": _empty,
}
