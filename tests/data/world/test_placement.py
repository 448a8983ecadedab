"""Placement keeps its rules, and compositing agrees with the over operator applied pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from occlusionformer.data.world.artwork import Coloured, world_art
from occlusionformer.data.world.layers import PlacedObject, composite, visible_masks
from occlusionformer.data.world.placement import Rules, arrange
from tests.tables import for_each

RULES = Rules(
    height=80, width=96, shortest=24, longest=62, stretch=1.2, min_visible=0.25, keep_apart=False, ground=math.inf
)
FEW = [Coloured(item, "blue" if item.recolourable else None) for item in world_art().objects[::40]]


def placed_objects(seed: int, count: int = 4, rules: Rules = RULES) -> list[PlacedObject]:
    rng = np.random.default_rng(seed)
    return arrange([FEW[place] for place in rng.choice(len(FEW), size=count, replace=False)], rules, rng)


@for_each("seed", range(6))
def test_sizes_stretch_and_place_stay_within_the_rules(seed):
    for item in placed_objects(seed):
        spot = item.rectangle
        assert 0 <= spot.left <= RULES.width - spot.width
        assert 0 <= spot.top <= RULES.height - spot.height
        assert RULES.shortest - 1 <= max(spot.width, spot.height) <= RULES.longest + 1
        least, most = (spot.width - 0.5) / (spot.height + 0.5), (spot.width + 0.5) / (spot.height - 0.5)
        assert least / item.item.aspect <= RULES.stretch
        assert most / item.item.aspect >= 1 / RULES.stretch


@for_each("seed", range(4))
def test_composite_is_the_over_operator(seed):
    placed = placed_objects(seed, count=3)
    background = np.random.default_rng(seed).uniform(0, 255, (RULES.height, RULES.width, 3))
    expected = background.copy()
    for item in placed:
        spot = item.rectangle
        for row in range(spot.height):
            for column in range(spot.width):
                *colour, alpha = (int(value) for value in item.pixels[row, column])
                under = expected[spot.top + row, spot.left + column]
                expected[spot.top + row, spot.left + column] = np.array(colour) + (1 - alpha / 255) * under
    actual = composite(background.astype(np.float32), placed)
    # One rounding to uint8, plus float32 against float64.
    assert np.abs(actual - expected).max() <= 0.501


def test_a_shadow_takes_its_share_of_the_light_behind_the_object_alone():
    (item,) = placed_objects(2, count=1, rules=replace(RULES, ground=0.0))
    assert item.shadow is not None
    window, taken_HW1 = item.shadow
    assert 0.2 < taken_HW1.max() < 0.5
    backdrop = np.full((RULES.height, RULES.width, 3), 200, dtype=np.float32)
    with_it, without = composite(backdrop, [item]), composite(backdrop, [replace(item, shadow=None)])
    clear = np.ones((RULES.height, RULES.width), dtype=bool)
    clear[item.window] = item.pixels[..., 3] == 0
    expected = backdrop.copy()
    expected[window] *= 1 - taken_HW1
    np.testing.assert_array_equal(with_it[clear], np.rint(expected)[clear])
    solid = np.zeros_like(clear)
    solid[item.window] = item.pixels[..., 3] == 255
    np.testing.assert_array_equal(with_it[solid], without[solid])


@for_each("seed", range(20))
def test_pixels_stay_premultiplied_so_that_nothing_is_brighter_than_white(seed):
    for item in placed_objects(seed):
        assert (item.pixels[..., :3] <= item.pixels[..., 3:]).all()


def test_opaque_front_hides_what_is_behind():
    behind, front = placed_objects(3, count=2)
    backdrop = np.zeros((RULES.height, RULES.width, 3), dtype=np.float32)
    both, alone = composite(backdrop, [behind, front]), composite(backdrop, [front])
    solid = np.zeros((RULES.height, RULES.width), dtype=bool)
    solid[front.window] = front.pixels[..., 3] == 255
    assert solid.any()
    assert (both[solid] == alone[solid]).all()


def test_swapping_two_layers_changes_only_where_both_are():
    pairs = (placed_objects(seed, count=2) for seed in range(20))
    first, second = next(pair for pair in pairs if (pair[0].mask & pair[1].mask).any())
    backdrop = np.full((RULES.height, RULES.width, 3), 128, dtype=np.float32)
    changed = (composite(backdrop, [first, second]) != composite(backdrop, [second, first])).any(axis=2)
    touched = [np.zeros_like(changed), np.zeros_like(changed)]
    for covered, item in zip(touched, (first, second), strict=True):
        covered[item.window] = item.pixels[..., 3] > 0
    assert changed.any()
    assert not (changed & ~(touched[0] & touched[1])).any()


def test_amodal_mask_is_alpha_above_one_half():
    for item in placed_objects(1):
        expected = np.zeros((RULES.height, RULES.width), dtype=bool)
        expected[item.window] = item.pixels[..., 3] / 255 > 0.5
        assert (item.mask == expected).all()


def test_visible_masks_of_nothing_is_nothing():
    assert visible_masks([]) == []


def test_kept_apart_objects_share_no_pixel():
    rules = replace(RULES, height=128, width=128, shortest=32, longest=60, keep_apart=True)
    for seed in range(10):
        masks = [item.mask for item in placed_objects(seed, count=3, rules=rules)]
        assert sum(mask.astype(int) for mask in masks).max() == 1


def test_impossible_rules_are_reported_with_their_numbers():
    rules = replace(RULES, height=32, width=32, shortest=30, longest=32, stretch=1, min_visible=0.95)
    with pytest.raises(ValueError, match=r"got 6 of 30 to 32 of 32x32 pixels, each at least 95% in sight"):
        placed_objects(0, count=6, rules=rules)


def test_sizes_are_log_uniform():
    rules = replace(RULES, height=128, width=128, shortest=16, longest=64, stretch=1, min_visible=0.0)
    longer = [max(item.pixels.shape[:2]) for seed in range(300) for item in placed_objects(seed, count=1, rules=rules)]
    below_geometric_mean = np.mean([length < math.sqrt(16 * 64) for length in longer])
    # Binomial with 300 draws: one half, give or take 0.03 (standard error).
    assert abs(below_geometric_mean - 0.5) < 0.12
