"""Whatever is wrong with a picture moves a figure; another light moves none of where and in front of what."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from occlusionformer.evaluation.scenes.calibration import recorded_calibration
from occlusionformer.evaluation.scenes.edition import judge_digest
from occlusionformer.evaluation.scenes.figures import FIGURES, Figure
from occlusionformer.evaluation.scenes.known import DISTORTIONS, KINDS, LIGHTS, TRUE
from occlusionformer.evaluation.scenes.layouts import SPLITS, bench_scenes
from occlusionformer.evaluation.scores import JudgedPicture
from tests.evaluation.scenes.scored import figures_of, judged, picture_figures
from tests.tables import for_each

MOVED = {
    "checkerboard as background": "clutter",
    "noise as background": "clutter",
    "background of another colour": "background",
    "unasked objects behind": "clutter",
    "holes in objects": "completeness",
    "objects half transparent": "completeness",
    "objects of other colours": "identity",
    "blur of 2 pixels": "sharpness",
    "blur of 4 pixels": "sharpness",
    "squares of 4 pixels": "blockiness",
    "grain": "sharpness",
}
FAR = 3.0
"""Times the width of the interval, and 0.01, that a figure has to be outside of it."""


@functools.cache
def pictures(kind: str, split: str, count: int) -> tuple[JudgedPicture, ...]:
    scenes = enumerate(bench_scenes(split, count))
    return tuple(judged(scene, KINDS[kind](scene, np.random.default_rng(number))) for number, scene in scenes)


def distance(true: Figure, other: Figure) -> float:
    """How far a figure is outside the interval of the true one, in widths of that."""
    return max(true.low - other.value, other.value - true.high) / (true.high - true.low + 0.01)


def test_every_distortion_has_a_figure_that_tells_it():
    assert list(MOVED) == list(DISTORTIONS)
    assert set(MOVED.values()) <= set(FIGURES)


@pytest.mark.parametrize("kind", [*DISTORTIONS, "70% brightness", "130% brightness", "warm light"])
def test_one_picture_tells_it_already(kind):
    true, other = (picture_figures(*pictures(each, "simple", 1)) for each in (TRUE, kind))
    moved = MOVED.get(kind, "lighting")
    assert abs(true[moved] - other[moved]) > 0.03
    if kind in LIGHTS:
        assert (other["miou"], other["identity"]) == (pytest.approx(true["miou"], abs=0.05), 1)


@pytest.mark.slow
def test_twelve_scenes_tell_every_distortion_far_outside_the_interval():
    true = figures_of(pictures(TRUE, "complex", 12))
    assert true["occ"].value >= 0.98
    assert true["miou"].value >= 0.93
    for kind, moved in MOVED.items():
        other = figures_of(pictures(kind, "complex", 12))
        assert distance(true[moved], other[moved]) > FAR, kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", LIGHTS)
def test_another_light_keeps_order_and_places(kind):
    found = figures_of(pictures(kind, "complex", 12))
    assert found["occ"].value >= 0.95
    assert found["miou"].value >= 0.93
    assert distance(figures_of(pictures(TRUE, "complex", 12))["lighting"], found["lighting"]) > FAR


@pytest.mark.slow
def test_orders_are_seen_as_they_are():
    assert figures_of(pictures("reversed orders", "complex", 12))["occ"].value <= 0.05
    assert 0.25 < figures_of(pictures("random orders", "complex", 12))["occ"].value < 0.75


@for_each("kind", KINDS)
def test_every_kind_is_painted_the_same_every_time(kind):
    scene = bench_scenes("simple", 2)[1]
    painted = [KINDS[kind](scene, np.random.default_rng(5)) for _ in range(2)]
    assert painted[0].dtype == np.uint8
    assert painted[0].shape == scene.background.shape
    assert (painted[0] == painted[1]).all()


def test_the_calibration_that_ships_holds_what_is_promised():
    """On twenty layouts a split: true pictures, other lights and turned orders; complex ones with every fault."""
    found = recorded_calibration()
    assert found is not None
    assert (found.judge, found.layouts) == (judge_digest(), 20)
    named = {(trial.split, trial.kind): trial.figures for trial in found.trials}
    for split in SPLITS:
        true = named[split, TRUE]
        assert true["occ"].value >= 0.98
        assert true["miou"].value >= 0.93
        assert true["colour"].value >= 0.99
        assert named[split, "reversed orders"]["occ"].value <= 0.05
        for light in ("70% brightness", "130% brightness"):
            assert named[split, light]["occ"].value >= 0.95
    for kind, moved in MOVED.items():
        assert distance(named["complex", TRUE][moved], named["complex", kind][moved]) > FAR, kind
    assert named["complex", "objects of other colours"]["colour"].value < 0.3
