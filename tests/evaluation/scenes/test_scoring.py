"""Scores of made-up verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from occlusionformer.evaluation.scenes.appearance import Appearance
from occlusionformer.evaluation.scenes.judge import Sighting, Verdict
from occlusionformer.evaluation.scenes.layouts import bench_scenes
from tests.evaluation.scenes.scored import Seer, figures_of, judged, picture_figures

FAULTLESS = Appearance(background=0.0, clutter=0.0, sharpness=1.0, blockiness=0.0, lighting=0.0)
BLANK = np.zeros((256, 256, 3), np.uint8)


@pytest.fixture(scope="module")
def scene():
    return next(one for one in bench_scenes("complex", 9) if len(one.truth.pairs) > 3)


def seen(scene, order):
    boxes = [tuple(box) for box in scene.layout.boxes]
    return Verdict(
        sightings=tuple(
            Sighting(name=name, box=box, nearest=name, share=0.5, complete=1.0)
            for name, box in zip(scene.names, boxes, strict=True)
        ),
        order=order,
        appearance=FAULTLESS,
    )


def values(scene, verdict):
    return picture_figures(judged(scene, BLANK, Seer(verdict)))


def faultless(scene):
    return seen(scene, (scene.truth.order == 1).astype(int))


def test_seeing_everything_right_scores_one(scene):
    result = values(scene, faultless(scene))
    assert [result[name] for name in ("occ", "dep", "identity", "completeness", "decided_right")] == [1, 0, 1, 1, 1]
    assert (result["miou"], result["o_miou"]) == (pytest.approx(1), pytest.approx(1))


def test_seeing_every_pair_reversed_scores_none(scene):
    result = values(scene, seen(scene, (scene.truth.order.T == 1).astype(int)))
    assert (result["occ"], result["dep"], result["decided_right"]) == (0, 1, 0)


def test_pairs_that_do_not_count_are_ignored(scene):
    order = (scene.truth.order == 1).astype(int)
    order[scene.truth.order == -1] = 1
    assert values(scene, seen(scene, order)) == values(scene, faultless(scene))


def test_seeing_nothing_scores_none(scene):
    count = len(scene.names)
    nothing = Verdict(
        sightings=tuple(Sighting(name=name, box=None, nearest=None, share=0.0, complete=None) for name in scene.names),
        order=np.zeros((count, count), dtype=int),
        appearance=FAULTLESS,
    )
    result = values(scene, nothing)
    assert [result[name] for name in ("occ", "dep", "miou", "o_miou", "identity")] == [0, 1, 0, 0, 0]
    assert result["decided_right"] is None


def test_an_object_taken_for_another_costs_identity_alone(scene):
    right = faultless(scene)
    first = replace(right.sightings[0], nearest="something else")
    result = values(scene, replace(right, sightings=(first, *right.sightings[1:])))
    assert result["identity"] == pytest.approx(1 - 1 / len(scene.names))
    assert (result["occ"], result["miou"]) == (1, pytest.approx(1))


def test_twins_are_told_apart_by_where_they_are(scene):
    """Both sightings of a twin carry the same name; the verdict lists them the other way round."""
    twins = replace(
        scene, placed=(scene.placed[0], replace(scene.placed[1], item=scene.placed[0].item), *scene.placed[2:])
    )
    order = (scene.truth.order == 1).astype(int)
    right = seen(twins, order)
    places = [1, 0, *range(2, len(scene.names))]
    listed = replace(
        right, sightings=tuple(right.sightings[place] for place in places), order=order[np.ix_(places, places)]
    )
    assert values(twins, listed) == values(twins, right)


def test_figures_leave_out_pictures_without_pairs(scene):
    alone = next(one for one in bench_scenes("simple", 9) if not one.truth.pairs)
    first, second = (judged(one, BLANK, Seer(faultless(one))) for one in (scene, alone))
    found = figures_of([first, second])
    assert (found["occ"].value, found["occ"].pictures) == (1, 1)
    assert (found["o_miou"].pictures, found["dep"].pictures) == (1, 1)
    assert (found["miou"].value, found["miou"].pictures) == (pytest.approx(1), 2)
    assert figures_of([second])["occ"].value is None
