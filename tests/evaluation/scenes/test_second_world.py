"""The benchmark of the second world: objects in colours, scenic backgrounds, canvases of any shape."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from occlusionformer.data.splits import is_held_out_pair
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.captions import is_held_out_colour
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.judges.artwork import load_art
from occlusionformer.evaluation.scenes.calibration import recorded_calibration
from occlusionformer.evaluation.scenes.coloured import Coloured, coloured_art
from occlusionformer.evaluation.scenes.edition import judge_digest
from occlusionformer.evaluation.scenes.judge import judge
from occlusionformer.evaluation.scenes.layouts import HELD_OUT_EVERY, SPLITS, TIERS, bench_scenes, draw_scene
from occlusionformer.evaluation.scenes.measuring import Wishes
from occlusionformer.evaluation.scenes.robustness import COUNTS, SHAPES, conditions
from occlusionformer.layout.difficulty import overlap

FEW = 9
PINNED = "3dc3ee2bcfbef413"
"""Of the layouts below: a change of it is a new benchmark, whose figures cannot be compared with the old ones."""


def scenes(split, limit=FEW):
    return bench_scenes(split, limit, "second")


SEEN = {}
"""Verdicts by the key of their scene: some tests look at the same picture."""


def seen(scene):
    """What the judge says of a true picture."""
    if scene.key not in SEEN:
        shown, behind = Image.fromarray(scene.render()), Image.fromarray(scene.backdrop())
        SEEN[scene.key] = judge(shown, scene.names, behind, "second")
    return SEEN[scene.key]


def test_the_layouts_are_those_that_figures_were_published_for():
    written = [[scene.key, scene.layout.model_dump(mode="json")] for split in SPLITS for scene in scenes(split)]
    assert hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16] == PINNED


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_is_as_hard_as_it_says(split):
    least, most = TIERS[split]
    for scene in scenes(split):
        assert least <= overlap(scene.layout.boxes).total_iou < most
        assert (scene.layout.width, scene.layout.height) == (256, 256)


def test_held_out_layouts_show_pairs_and_colours_that_training_never_shows():
    coloured = {True: 0, False: 0}
    for number, scene in enumerate(scenes("complex", 24)):
        found = [coloured_art().named(name) for name in scene.names]
        met = any(is_held_out_pair(one.item.name, other.item.name) for one in found for other in found)
        assert met == scene.held_out == (number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)
        for one in found:
            if one.colour is not None:
                coloured[scene.held_out] += 1
                assert is_held_out_colour(one.item.name, one.colour) == scene.held_out
    assert all(count > 3 for count in coloured.values())


def test_an_object_in_a_colour_is_another_picture_of_the_same_size():
    own, black = coloured_art().named("cat"), coloured_art().named("black cat")
    assert (black.item, black.colour, black.aspect) == (own.item, "black", own.aspect)
    assert np.asarray(black.picture).mean() < np.asarray(own.picture).mean()
    assert len(coloured_art().in_colours("cat")) == len(OBJECT_COLOURS) + 1
    assert coloured_art().in_colours("black cat") == coloured_art().in_colours("cat")


def test_an_objects_own_colour_has_the_nearest_word():
    words = coloured_art().in_colours("frog")
    assert words["frog"] == words["green frog"] == "green"


def test_an_object_of_one_colour_is_in_no_other():
    plain = next(item for item in world_art().objects if not item.recolourable)
    assert coloured_art().in_colours(plain.name) == {}
    with pytest.raises(ValueError, match=f"perhaps with a colour, got 'blue {plain.name}'"):
        coloured_art().named(f"blue {plain.name}")


@pytest.mark.parametrize("split", ["simple", "complex"])
def test_the_judge_sees_true_pictures_as_they_are(split):
    for scene in scenes(split, 3):
        verdict = seen(scene)
        assert [one.nearest for one in verdict.sightings] == list(scene.names)
        assert verdict.colour in (1.0, None)
        assert all(verdict.order[i, j] == 1 for i, j in np.argwhere(scene.truth.order == 1))
        assert verdict.appearance.background is None or verdict.appearance.background < 0.01


def test_the_judge_tells_another_colour_and_still_knows_the_object():
    scene = next(one for one in scenes("simple", 20) if coloured_art().in_colours(one.names[0]))
    words = coloured_art().in_colours(scene.names[0])
    other = Coloured(coloured_art().named(scene.names[0]).item, "red" if words[scene.names[0]] != "red" else "green")
    asked = (other.name, *scene.names[1:])
    verdict = judge(Image.fromarray(scene.render()), asked, Image.fromarray(scene.backdrop()), "second")
    assert verdict.sightings[0].right_colour is False
    assert seen(scene).sightings[0].right_colour is True


def test_what_is_absent_has_not_the_colour_asked_for():
    scene = scenes("simple", 1)[0]
    verdict = judge(Image.fromarray(scene.backdrop()), ("red car",), Image.fromarray(scene.backdrop()), "second")
    assert (verdict.sightings[0].box, verdict.sightings[0].right_colour, verdict.colour) == (None, False, 0.0)


def test_canvases_may_have_any_shape():
    scene = draw_scene(0, split="complex", held_out=False, key="x", world="second", canvas=(320, 192))
    assert scene.render().shape == (192, 320, 3)
    assert (scene.layout.width, scene.layout.height) == (320, 192)
    assert [one.nearest for one in seen(scene).sightings] == list(scene.names)


def test_shadows_are_part_of_the_picture_and_not_of_the_background():
    scene = next(one for one in scenes("simple", 20) if any(item.shadow is not None for item in one.placed))
    shaded = next(item for item in scene.placed if item.shadow is not None)
    window, alpha = shaded.shadow
    free = ~np.any([item.mask for item in scene.placed], axis=0)[window] & (alpha[..., 0] > 0.1)
    assert (scene.render()[window][free] < scene.backdrop()[window][free]).any()


def test_the_benchmark_names_its_judge_world_and_conditions():
    benchmark = load_benchmark("world-robustness", source_settings={"layouts": 2, "per_count": 1})
    assert set(benchmark.settings["judges"].values()) == {"art:second"}
    assert benchmark.groups == conditions("second")
    shapes = [item.truth.frame for item in benchmark.items if item.groups[0].startswith("canvas")]
    assert shapes == [shape for shape in SHAPES["second"] for _ in range(2)]
    crowds = [len(item.truth.names) for item in benchmark.items if "instance" in item.groups[0]]
    assert crowds == list(COUNTS["second"])
    assert "colour" in [column.name for metric in load_benchmark("world-complex").metrics for column in metric.columns]


def test_a_judge_of_one_world_is_not_that_of_the_other():
    first, second = load_art(None), load_art("second")
    assert first.identity != second.identity
    with pytest.raises(ValueError, match="expected art, or art:WORLD with one of first, second, got 'third'"):
        load_art("third")
    with pytest.raises(ValueError, match="world: expected one of first, second, got 'third'"):
        Wishes(world="third")


def test_the_calibration_that_ships_is_of_this_judge_and_tells_true_from_reversed():
    found = recorded_calibration("second")
    assert (found.judge, found.layouts) == (judge_digest("second"), 20)
    named = {(trial.split, trial.kind): trial.figures for trial in found.trials}
    for split in SPLITS:
        assert named[split, "true renders"]["occ"].value > 0.99
        assert named[split, "true renders"]["colour"].value == 1
        assert named[split, "reversed orders"]["occ"].value < 0.01
    assert named["complex", "objects of other colours"]["colour"].value < 0.2
