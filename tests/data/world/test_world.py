"""The second world: scenes are reproducible, what they say of masks, order, words and colours is exact."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from occlusionformer.data.splits import is_held_out_pair
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.backgrounds import KINDS, draw_background
from occlusionformer.data.world.captions import caption, held_out_synonym, is_held_out_colour, with_article
from occlusionformer.data.world.colours import OBJECT_COLOURS, main_share, nearest_colour, oklab, recolour, srgb
from occlusionformer.data.world.placement import OPAQUE
from occlusionformer.data.world.scene import scene_layout
from occlusionformer.data.world.scenes import CANVASES, WorldDataset, WorldSpec, choose_coloured, make_scene
from tests.tables import for_each

ART = world_art()
SMALL = WorldSpec(width=96, height=64, max_instances=6)


def digest(count: int) -> str:
    import hashlib

    found = hashlib.sha256()
    for scene in (make_scene(i, seed=5, spec=SMALL, art=ART) for i in range(count)):
        found.update(scene.image.tobytes() + repr((scene.prompt, scene.back_to_front)).encode())
        for item in scene.instances:
            found.update(repr((item.name, item.caption, item.box)).encode() + item.amodal.tobytes())
    return found.hexdigest()


def test_another_process_draws_the_same_scenes():
    program = "from tests.data.world.test_world import digest; print(digest(4))"
    path = os.pathsep.join(["src", ".", os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": path}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == digest(4)


def test_there_are_four_hundred_objects_and_no_word_means_two():
    words = [word for item in ART.objects for word in (item.name, *item.synonyms)]
    assert len(ART) >= 400
    assert len(words) == len(set(words))
    assert sum(item.recolourable for item in ART.objects) >= 150


def test_every_picture_is_there_and_large_enough():
    for item in ART.objects:
        picture = item.levels()[0]
        assert picture.mode == "RGBa"
        assert max(picture.size) >= 150, item.name
        assert (np.array(picture)[..., 3] >= OPAQUE).mean() > 0.1, item.name


@for_each("index", range(6))
def test_masks_boxes_and_order_agree(index):
    scene = make_scene(index, seed=3, spec=SMALL, art=ART)
    assert scene.image.shape == (64, 96, 3)
    covered = np.zeros((64, 96), dtype=int)
    for position, number in enumerate(scene.back_to_front):
        item = scene.instances[number]
        front = [scene.instances[n].amodal for n in scene.back_to_front[position + 1 :]]
        expected = item.amodal & ~np.logical_or.reduce([np.zeros_like(item.amodal), *front])
        assert (item.visible == expected).all()
        covered += item.visible
        rows, columns = np.flatnonzero(item.amodal.any(1)), np.flatnonzero(item.amodal.any(0))
        tight = (columns[0] / 96, rows[0] / 64, (columns[-1] + 1) / 96, (rows[-1] + 1) / 64)
        assert item.box == pytest.approx(tight)
        assert item.visible.sum() >= 0.25 * item.amodal.sum()
    assert covered.max() == 1
    layout = scene_layout(scene)
    assert (layout.width, layout.height) == (96, 64)


def test_what_is_opaque_is_seen_as_drawn():
    """Inside the visible mask of the front object the picture is the object, where its art is fully opaque."""
    scene = make_scene(0, seed=9, spec=WorldSpec(width=96, height=96, max_instances=1, shadows=1.0), art=ART)
    (item,) = scene.instances
    assert item.visible.sum() == item.amodal.sum() > 0


def test_training_shows_nothing_that_is_held_out():
    names = {item.name: item for item in ART.objects}
    for index in range(120):
        rng = np.random.default_rng(index)
        choices = choose_coloured(rng, spec=SMALL, art=ART)
        assert not any(is_held_out_pair(a.item.name, b.item.name) for a, b in combinations(choices, 2))
        for choice in choices:
            assert choice.colour is None or not is_held_out_colour(choice.item.name, choice.colour)
            said = caption(choice.item, choice.colour, rng)
            word = held_out_synonym(names[choice.item.name])
            described = [word, *(f"{extra} {word}" for extra in (choice.colour, *choice.item.adjectives))]
            assert word is None or said not in [*described, *map(with_article, described)]
            assert choice.colour is None or choice.colour in said.split()


def test_held_out_scenes_show_what_training_never_does():
    spec = WorldSpec(pairs="held-out", wordings="held-out", colours="held-out", recoloured=1.0)
    for index in range(30):
        rng = np.random.default_rng(index)
        choices = choose_coloured(rng, spec=spec, art=ART)
        assert is_held_out_pair(choices[0].item.name, choices[1].item.name)
        assert all(c.colour is None or is_held_out_colour(c.item.name, c.colour) for c in choices)


def test_a_recoloured_object_has_the_colour_it_is_called_by():
    wrong = []
    known = [(item, colour) for item in ART.objects if item.recolourable for colour in OBJECT_COLOURS]
    for item, colour in known[::23]:
        own, other = item.levels()[2].convert("RGBA"), item.levels(colour)[2].convert("RGBA")
        share = main_share(np.array(own)) * np.array(own)[..., 3]
        mean = (oklab(np.array(other)[..., :3]) * share[..., None]).sum((0, 1)) / share.sum()
        if nearest_colour(srgb(mean)) != colour:
            wrong.append((item.name, colour))
    assert len(wrong) <= 0.05 * len(known[::23]), wrong


def test_recolouring_keeps_alpha_and_leaves_other_hues_alone():
    rose = np.array(ART.named("rose").levels()[0].convert("RGBA"))
    blue = recolour(rose, "blue")
    assert (blue[..., 3] == rose[..., 3]).all()
    leaf = (rose[..., 1].astype(int) > rose[..., 0].astype(int) + 40) & (rose[..., 3] > 250)
    assert leaf.sum() > 500
    assert np.abs(blue[leaf].astype(int) - rose[leaf].astype(int)).mean() < 6


def test_oklab_knows_white_and_goes_back():
    assert oklab(np.array([255.0, 255.0, 255.0])) == pytest.approx([1, 0, 0], abs=1e-4)
    colours = np.random.default_rng(0).uniform(0, 255, (50, 3))
    assert srgb(oklab(colours)) == pytest.approx(colours, abs=0.05)


@for_each("kind", list(KINDS))
def test_a_background_is_what_its_words_say_whatever_the_scene(kind):
    by_prompt = {}
    for seed in range(60):
        drawn = draw_background(kind, 48, 64, np.random.default_rng(seed))
        assert drawn.pixels.shape == (48, 64, 3)
        first = by_prompt.setdefault(drawn.prompt, drawn)
        assert np.abs(drawn.pixels - first.pixels).mean() < 8
        assert drawn.ground == first.ground
    assert all(prompt == prompt.lower() for prompt in by_prompt)


def test_shadows_darken_the_ground_and_count_as_nothing():
    changes = {"width": 96, "height": 96, "max_instances": 3}
    differs = 0
    for index in range(20):
        dark, light = (
            make_scene(index, seed=4, spec=WorldSpec(**changes, shadows=share), art=ART) for share in (1.0, 0.0)
        )
        assert [item.box for item in dark.instances] == [item.box for item in light.instances]
        assert (dark.image.astype(int) <= light.image.astype(int) + 1).all()
        differs += bool((dark.image != light.image).any())
    assert differs >= 5


def test_canvases_vary_where_none_is_given():
    sizes = {
        WorldDataset(1, 40, spec=WorldSpec(width=None, height=None, max_instances=1))[i].image.shape for i in range(40)
    }
    assert len(sizes) >= 4
    assert sizes <= {(height, width, 3) for width, height in CANVASES}
    assert all(192 <= side <= 320 and side % 16 == 0 for canvas in CANVASES for side in canvas)


@for_each(
    ("noun", "phrase"),
    [
        ("apple", "an apple"),
        ("cat", "a cat"),
        ("bunch of grapes", "a bunch of grapes"),
        ("grapes", "grapes"),
        ("pair of scissors", "a pair of scissors"),
        ("ewe", "a ewe"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("two people kissing", "two people kissing"),
    ],
)
def test_articles(noun, phrase):
    assert with_article(noun) == phrase


def test_wrong_settings_are_refused_all_at_once():
    with pytest.raises(ValueError, match="largest") as refused:
        WorldSpec(width=8, height=None, largest=2, colours="some")
    assert str(refused.value).splitlines() == [
        "largest: expected 0.05 to 1, got 2",
        "colours: expected one of training, held-out, any, got 'some'",
        "width, height: expected both or neither, got 8 and None",
        "width: expected 16 to 1024, got 8",
    ]
