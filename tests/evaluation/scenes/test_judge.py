"""The judge sees what is there, and only that: known pictures have known verdicts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from occlusionformer.data.world.layers import Rectangle
from occlusionformer.evaluation.metrics.spatial import box_iou
from occlusionformer.evaluation.scenes.coloured import Coloured, coloured_art
from occlusionformer.evaluation.scenes.explain import cost, shrink, values_of
from occlusionformer.evaluation.scenes.ground import estimate_ground
from occlusionformer.evaluation.scenes.judge import SceneJudge, judge
from occlusionformer.evaluation.scenes.layouts import bench_scenes, draw_scene
from occlusionformer.evaluation.scenes.templates import Stamps
from tests.evaluation.scenes.scored import judged, picture_figures

SIZE = 128


def picture_of(*objects: tuple[str, Rectangle], ground: int = 235) -> Image.Image:
    """Objects pasted one over another, the last in front."""
    canvas = Image.new("RGB", (SIZE, SIZE), (ground, ground, ground))
    for name, spot in objects:
        shown = coloured_art().named(name).picture.resize((spot.width, spot.height), Image.Resampling.BICUBIC)
        sheet = Image.new("RGBa", (SIZE, SIZE))
        sheet.paste(shown, (spot.left, spot.top))
        canvas.paste(sheet.convert("RGBA"), (0, 0), sheet.convert("RGBA").getchannel("A"))
    return canvas


DOG = ("dog", Rectangle(20, 30, 50, 46))
PIZZA = ("pizza", Rectangle(52, 48, 48, 48))


SEEN = {}
"""Verdicts by the key of their scene: some tests look at the same picture."""


def seen(scene):
    """What the judge says of a true picture."""
    if scene.key not in SEEN:
        SEEN[scene.key] = judge(Image.fromarray(scene.render()), scene.names, Image.fromarray(scene.backdrop()))
    return SEEN[scene.key]


def test_true_renders_are_judged_right():
    for scene in bench_scenes("regular", 2):
        result = picture_figures(judged(scene, scene.render()))
        assert (result["occ"], result["identity"], result["colour"]) == (1, 1, 1)
        assert result["miou"] > 0.9


@pytest.mark.parametrize("split", ["simple", "complex"])
def test_the_judge_sees_true_pictures_as_they_are(split):
    for scene in bench_scenes(split, 3):
        verdict = seen(scene)
        assert [one.nearest for one in verdict.sightings] == list(scene.names)
        assert verdict.colour in (1.0, None)
        assert all(verdict.order[i, j] == 1 for i, j in np.argwhere(scene.truth.order == 1))
        assert verdict.appearance.background is None or verdict.appearance.background < 0.01


def test_another_colour_is_told_and_the_object_still_known():
    scene = next(one for one in bench_scenes("simple", 20) if coloured_art().in_colours(one.names[0]))
    words = coloured_art().in_colours(scene.names[0])
    other = Coloured(coloured_art().named(scene.names[0]).item, "red" if words[scene.names[0]] != "red" else "green")
    asked = (other.name, *scene.names[1:])
    verdict = judge(Image.fromarray(scene.render()), asked, Image.fromarray(scene.backdrop()))
    assert verdict.sightings[0].right_colour is False
    assert seen(scene).sightings[0].right_colour is True


def test_what_is_absent_has_not_the_colour_asked_for():
    backdrop = Image.fromarray(bench_scenes("simple", 1)[0].backdrop())
    verdict = judge(backdrop, ("red car",), backdrop)
    assert (verdict.sightings[0].box, verdict.sightings[0].right_colour, verdict.colour) == (None, False, 0.0)


def test_canvases_may_have_any_shape():
    scene = draw_scene(0, split="complex", held_out=False, key="x", canvas=(320, 192))
    assert [one.nearest for one in seen(scene).sightings] == list(scene.names)


def test_the_other_one_is_in_front_when_it_is_drawn_last():
    one = judge(picture_of(DOG, PIZZA), ["dog", "pizza"])
    other = judge(picture_of(PIZZA, DOG), ["dog", "pizza"])
    assert one.order.tolist() == [[0, 0], [1, 0]]
    assert other.order.tolist() == [[0, 1], [0, 0]]


def test_soft_pictures_are_judged_too():
    soft = picture_of(DOG, PIZZA).filter(ImageFilter.GaussianBlur(2.5))
    verdict = judge(soft, ["dog", "pizza"])
    assert verdict.order.tolist() == [[0, 0], [1, 0]]
    for sighting, (name, spot) in zip(verdict.sightings, (DOG, PIZZA), strict=True):
        truth = [edge / SIZE for edge in (spot.left, spot.top, spot.left + spot.width, spot.top + spot.height)]
        assert sighting.nearest == name
        assert box_iou(sighting.box, truth) > 0.8


def test_boxes_follow_the_objects_wherever_they_are():
    for left, top in ((0, 0), (78, 82), (30, 5)):
        (sighting,) = judge(picture_of(("dog", Rectangle(left, top, 50, 46))), ["dog"]).sightings
        truth = [edge / SIZE for edge in (left, top, left + 50, top + 46)]
        assert box_iou(sighting.box, truth) > 0.9


def test_names_in_another_order_give_the_same_verdict():
    picture = picture_of(DOG, PIZZA)
    one, other = judge(picture, ["dog", "pizza"]), judge(picture, ["pizza", "dog"])
    assert one.sightings == other.sightings[::-1]
    assert one.order.tolist() == other.order[::-1, ::-1].tolist()


def test_absent_objects_are_not_seen():
    verdict = judge(picture_of(DOG), ["dog", "alarm clock", "tractor"])
    assert verdict.sightings[0].box is not None
    assert [one.box for one in verdict.sightings[1:]] == [None, None]
    assert not verdict.order.any()


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_shows_nothing(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    verdict = judge(Image.fromarray(noise), ["dog", "pizza", "rocket", "zebra"])
    assert [one.box for one in verdict.sightings] == [None] * 4


def test_another_object_at_the_place_is_told():
    """The tiger fits best where the lion is; it is still a lion."""
    (sighting,) = judge(picture_of(("lion", Rectangle(30, 30, 60, 60))), ["tiger"]).sightings
    assert sighting.nearest != "tiger"


def test_the_same_object_twice_is_found_twice():
    verdict = judge(picture_of(("dog", Rectangle(4, 10, 48, 44)), ("dog", Rectangle(70, 70, 50, 46))), ["dog", "dog"])
    lefts = sorted(one.box[0] * SIZE for one in verdict.sightings)
    assert lefts == pytest.approx([4, 70], abs=2)


def test_larger_pictures_are_judged_at_the_same_size():
    picture = picture_of(DOG, PIZZA)
    large = judge(picture.resize((512, 512), Image.Resampling.BICUBIC), ["dog", "pizza"])
    assert large.order.tolist() == judge(picture, ["dog", "pizza"]).order.tolist()


def test_cost_runs_from_none_to_full():
    seen = np.zeros((1, 3))
    assert cost(seen, seen) == 0
    assert cost(seen, np.ones((1, 3))) > 0.99
    assert cost(seen, np.array([[0.18, 0, 0]])) == pytest.approx(1 - np.exp(-0.5))


def values(*objects: tuple[str, Rectangle], ground: int = 235) -> np.ndarray:
    return values_of(picture_of(*objects, ground=ground), (SIZE, SIZE))


def test_the_ground_of_a_row_is_its_most_frequent_colour():
    picture = values(("pizza", Rectangle(0, 40, 60, 60)))
    ground = estimate_ground(picture, None, np.ones((SIZE, SIZE), dtype=bool))
    assert np.abs(ground - 235 / 255).max() < 0.02


def test_the_declared_ground_is_taken_where_it_is_seen_and_another_where_it_is_not():
    declared = np.random.default_rng(0).random((SIZE, SIZE, 3), dtype=np.float32)
    free = np.ones((SIZE, SIZE), dtype=bool)
    assert estimate_ground(declared, declared, free) is declared
    plain = np.full_like(declared, 0.5)
    assert np.abs(estimate_ground(plain, declared, free) - plain).max() < 0.01
    assert np.abs(estimate_ground(declared * 0.5, declared * 0.5 - 0.1, free) - declared * 0.5).max() < 0.01


def test_shrinking_takes_means():
    values = np.arange(16.0).reshape(4, 4)
    assert shrink(values, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert shrink(np.stack([values, -values], axis=-1), 4).tolist() == [[[7.5, -7.5]]]


def test_softness_lowers_the_edge_and_keeps_the_size():
    stamps = Stamps(coloured_art())
    sharp, soft = stamps.stamp("pizza", 40, 40), stamps.stamp("pizza", 40, 40, 3.0)
    assert soft.alpha.shape == sharp.alpha.shape
    assert soft.alpha[:, :2].max() < 0.75
    assert soft.alpha[20, 20] > 0.95


def test_small_stamps_of_large_art_are_made_from_a_smaller_copy_and_look_the_same():
    art = coloured_art()
    larger = Stamps(Enlarged(art, 4))
    for name in ("lion", "dog"):
        small, same = Stamps(art).stamp(name, 20, 18), larger.stamp(name, 20, 18)
        assert np.abs(small.painted - same.painted).mean() < 0.01
        assert np.abs(small.alpha - same.alpha).mean() < 0.01


class Enlarged:
    """Some art with larger pictures."""

    def __init__(self, art, factor):
        self.objects = tuple(
            SimpleNamespace(
                name=one.name,
                aspect=one.aspect,
                picture=one.picture.resize(
                    (one.picture.width * factor, one.picture.height * factor), Image.Resampling.BICUBIC
                ),
            )
            for one in art.objects[:40]
        )

    def named(self, name):
        return next(one for one in self.objects if one.name == name)

    def in_colours(self, name):
        return {}


def test_art_and_size_are_whatever_the_judge_is_given():
    """An oblong canvas, larger pictures, another set of objects."""
    art = Enlarged(coloured_art(), 3)
    canvas, spots = Image.new("RGB", (320, 192), (200, 210, 220)), {}
    for name, spot in (("dog", Rectangle(30, 40, 110, 100)), ("monkey", Rectangle(190, 70, 100, 90))):
        shown = art.named(name).picture.resize((spot.width, spot.height), Image.Resampling.BICUBIC).convert("RGBA")
        canvas.paste(shown, (spot.left, spot.top), shown)
        spots[name] = spot
    declared = Image.new("RGB", canvas.size, (200, 210, 220))
    verdict = SceneJudge(art).judge(canvas, ["dog", "monkey", "cat"], declared)
    for sighting in verdict.sightings[:2]:
        spot = spots[sighting.name]
        truth = [
            edge / side
            for edge, side in zip(
                (spot.left, spot.top, spot.left + spot.width, spot.top + spot.height), (320, 192, 320, 192), strict=True
            )
        ]
        assert box_iou(sighting.box, truth) > 0.9
        assert sighting.nearest == sighting.name
    assert verdict.sightings[2].box is None
    assert verdict.appearance.background < 0.005
    with pytest.raises(
        ValueError, match=r"^name: expected one of the packaged objects, perhaps with a colour, got 'teacup'$"
    ):
        judge(canvas, ["teacup"])
