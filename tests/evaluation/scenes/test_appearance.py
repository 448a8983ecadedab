"""What is said of a picture as a whole, piece by piece."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from occlusionformer.evaluation.scenes.appearance import _grown, back_to_front
from occlusionformer.evaluation.scenes.blocks import blockiness
from occlusionformer.evaluation.scenes.judge import judge
from occlusionformer.evaluation.scenes.kept import Kept
from occlusionformer.evaluation.scenes.layouts import bench_scenes


def waves(size: int = 96) -> np.ndarray:
    """A smooth picture with edges everywhere."""
    rows, columns = np.mgrid[:size, :size]
    tones = [0.5 + 0.4 * np.sin(rows / 5.3 + columns / k) * np.cos(columns / 4.1 - rows / 7) for k in (6, 9, 13)]
    return np.stack(tones, axis=2).astype(np.float32)


@pytest.mark.parametrize("side", [2, 3, 4, 7, 16])
def test_squares_of_any_side_are_seen_at_any_place(side):
    smooth = waves(192)
    coarse = np.kron(smooth[::side, ::side], np.ones((side, side, 1), np.float32))[1:161, 2:162]
    assert blockiness(coarse, smooth[1:161, 2:162]) > 0.95
    assert blockiness(smooth, smooth) < 0.02


def test_squares_that_were_asked_for_are_none():
    coarse = np.kron(waves()[::8, ::8], np.ones((8, 8, 1), np.float32))
    assert blockiness(coarse, coarse) == 0


def test_noise_and_one_long_edge_are_no_grid():
    noise = np.random.default_rng(0).random((96, 96, 3), dtype=np.float32)
    assert blockiness(noise, np.zeros_like(noise)) < 0.1
    halves = np.zeros_like(noise)
    halves[40:] = 1
    assert blockiness(halves, np.zeros_like(noise)) < 0.2
    assert blockiness(np.zeros_like(noise), noise) == 0


def test_masks_grow_to_all_sides_and_not_around_the_edge():
    mask = np.zeros((7, 9), dtype=bool)
    mask[0, 4] = True
    grown = _grown(mask, 2)
    assert grown.sum() == 3 * 5
    assert grown[:3, 2:7].all()


def test_what_hides_comes_later_and_loops_end():
    hides = np.zeros((4, 4), dtype=int)
    hides[0, 2] = hides[2, 3] = 1
    order = back_to_front(hides)
    assert order.index(3) < order.index(2) < order.index(0)
    hides[3, 0] = 1
    assert sorted(back_to_front(hides)) == [0, 1, 2, 3]


def test_without_a_background_nothing_is_said_of_it():
    scene = bench_scenes("simple", 2)[1]
    verdict = judge(Image.fromarray(scene.render()), scene.names)
    assert (verdict.appearance.background, verdict.appearance.clutter) == (None, None)
    assert verdict.appearance.sharpness == pytest.approx(1, abs=0.1)
    assert verdict.completeness > 0.95


def test_a_picture_without_objects_has_no_sharpness_and_nothing_whole():
    scene = bench_scenes("simple", 2)[1]
    backdrop = Image.fromarray(scene.backdrop())
    verdict = judge(backdrop, scene.names, backdrop)
    assert verdict.appearance.sharpness is None
    assert verdict.completeness == 0
    assert verdict.appearance.background == 0


def test_what_was_not_asked_for_the_longest_goes_first():
    kept: Kept[bytes] = Kept(10, len)
    made = []

    def get(key: str) -> bytes:
        return kept.get(key, lambda: made.append(key) or bytes(4))

    for key in "abacab":
        get(key)
    assert made == ["a", "b", "c", "b"]
    assert Kept(1, len).get("large", lambda: bytes(99)) == bytes(99)
