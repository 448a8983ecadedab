"""Placement keeps its rules, and compositing agrees with the over operator applied pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from occlusionformer.data.arranging import Arrangement, arrange, visible_masks
from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.placement import composite
from tests.tables import for_each

RULES = Arrangement(size=96, shortest=24, longest=62, stretch=1.2, min_visible=0.25, keep_apart=False)


def placed_objects(seed: int, count: int = 4, rules: Arrangement = RULES):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(packaged_art()), size=count, replace=False)
    return arrange([packaged_art().objects[index] for index in chosen], rules, rng)


@for_each("seed", range(6))
def test_sizes_stretch_and_place_stay_within_the_rules(seed):
    for item in placed_objects(seed):
        spot = item.rectangle
        assert 0 <= spot.left <= RULES.size - spot.width
        assert 0 <= spot.top <= RULES.size - spot.height
        assert RULES.shortest - 1 <= max(spot.width, spot.height) <= RULES.longest + 1
        least, most = (spot.width - 0.5) / (spot.height + 0.5), (spot.width + 0.5) / (spot.height - 0.5)
        assert least / item.item.aspect <= RULES.stretch
        assert most / item.item.aspect >= 1 / RULES.stretch


@pytest.mark.parametrize("seed", range(4))
def test_composite_is_the_over_operator(seed):
    placed = placed_objects(seed)
    background = np.random.default_rng(seed).uniform(0, 255, (RULES.size, RULES.size, 3))
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


@for_each("seed", range(20))
def test_pixels_stay_premultiplied_so_that_nothing_is_brighter_than_white(seed):
    for item in placed_objects(seed):
        assert (item.pixels[..., :3] <= item.pixels[..., 3:]).all()


def test_opaque_front_hides_what_is_behind():
    behind, front = placed_objects(3, count=2)
    backdrop = np.zeros((RULES.size, RULES.size, 3), dtype=np.float32)
    both, alone = composite(backdrop, [behind, front]), composite(backdrop, [front])
    solid = np.zeros((RULES.size, RULES.size), dtype=bool)
    solid[front.window] = front.pixels[..., 3] == 255
    assert solid.any()
    assert (both[solid] == alone[solid]).all()


def test_swapping_two_layers_changes_only_where_both_are():
    pairs = (placed_objects(seed, count=2) for seed in range(20))
    first, second = next(pair for pair in pairs if (pair[0].mask & pair[1].mask).any())
    backdrop = np.full((RULES.size, RULES.size, 3), 128, dtype=np.float32)
    changed = (composite(backdrop, [first, second]) != composite(backdrop, [second, first])).any(axis=2)
    touched = [np.zeros_like(changed), np.zeros_like(changed)]
    for covered, item in zip(touched, (first, second), strict=True):
        covered[item.window] = item.pixels[..., 3] > 0
    assert changed.any()
    assert not (changed & ~(touched[0] & touched[1])).any()


def test_amodal_mask_is_alpha_above_one_half():
    for item in placed_objects(1):
        expected = np.zeros((RULES.size, RULES.size), dtype=bool)
        expected[item.window] = item.pixels[..., 3] / 255 > 0.5
        assert (item.mask == expected).all()


def test_visible_masks_of_nothing_is_nothing():
    assert visible_masks([]) == []


def test_kept_apart_objects_share_no_pixel():
    rules = Arrangement(size=128, shortest=32, longest=60, stretch=1.2, min_visible=0.25, keep_apart=True)
    for seed in range(10):
        masks = [item.mask for item in placed_objects(seed, count=3, rules=rules)]
        assert sum(mask.astype(int) for mask in masks).max() == 1


def test_impossible_rules_are_reported_with_their_numbers():
    rules = Arrangement(size=64, shortest=60, longest=64, stretch=1, min_visible=0.95, keep_apart=False)
    with pytest.raises(ValueError, match=r"got 6 of 60 to 64 of 64 pixels, each at least 95% in sight"):
        placed_objects(0, count=6, rules=rules)


def test_sizes_are_log_uniform():
    rules = Arrangement(size=128, shortest=16, longest=64, stretch=1, min_visible=0.0, keep_apart=False)
    longer = [max(item.pixels.shape[:2]) for seed in range(300) for item in placed_objects(seed, count=1, rules=rules)]
    below_geometric_mean = np.mean([length < math.sqrt(16 * 64) for length in longer])
    # Binomial with 300 draws: one half, give or take 0.03 (standard error).
    assert abs(below_geometric_mean - 0.5) < 0.12
