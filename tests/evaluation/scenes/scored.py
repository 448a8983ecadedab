"""Pictures of scenes judged and scored as a run does it, without a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.benchmarks.sources.scenes import scene_item
from occlusionformer.evaluation.judge_requests import request_about
from occlusionformer.evaluation.judges.artwork import ArtJudge, load_art
from occlusionformer.evaluation.scenes.figures import Figure, by_column, figures
from occlusionformer.evaluation.scenes.judge import Verdict
from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.evaluation.scores import JudgedPicture, score

BENCHMARK = load_benchmark("world-simple")


class Seer(ArtJudge):
    """Has seen what it is told, whatever the picture."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(load_art(None).identity)
        self._told = verdict

    def _verdict(self, picture, names, background):
        return self._told


def judged(scene: BenchScene, picture: np.ndarray, judge: ArtJudge | None = None) -> JudgedPicture:
    """The answers of a judge about a picture of a scene."""
    item, judge = scene_item(scene, seed=0), judge or load_art(None)
    image = Image.fromarray(picture)
    sized = item.resized(image.size)
    answers = {asked: judge.judge(image, request_about(sized, asked.kind)).answer for asked in BENCHMARK.questions}
    return item.key, sized, answers


def figures_of(pictures: Sequence[JudgedPicture]) -> dict[str, Figure]:
    """The figures of the benchmark over pictures."""
    return figures(score(BENCHMARK.metrics, pictures))


def picture_figures(picture: JudgedPicture) -> dict[str, float | None]:
    """The same of a single picture, without intervals, and the share of decided pairs that are right."""
    scores = score(BENCHMARK.metrics, [picture])
    decided = by_column(scores)["decided_right"].value
    return {**{name: found.value for name, found in figures(scores).items()}, "decided_right": decided}
