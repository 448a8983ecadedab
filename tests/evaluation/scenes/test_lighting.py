"""The light of a picture is told from colours that are known, within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.evaluation.scenes.lighting import MOST_CAST, MOST_GAIN, Lighting, candidates, estimate


def colours(number: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((number, 3), dtype=np.float32)


def lighting(gain, offset=(0, 0, 0)) -> Lighting:
    return Lighting(np.array(gain, dtype=np.float32), np.array(offset, dtype=np.float32))


@pytest.mark.parametrize(
    ("gain", "offset"),
    [
        ((0.7, 0.7, 0.7), (0, 0, 0)),
        ((1.3, 1.3, 1.3), (0, 0, 0)),
        ((1.1, 1.0, 0.8), (0, 0.02, 0.05)),
        ((1, 1, 1), (0,) * 3),
    ],
)
def test_the_light_is_found_again(gain, offset):
    light = lighting(gain, offset)
    found = estimate(light.on(colours()), colours(), np.ones(400), lighting(np.array(gain) * 0.93))
    assert found.differs(light) < 0.02


def test_a_third_of_wrong_pixels_does_not_move_it():
    light = lighting((0.8, 0.8, 0.8))
    seen = light.on(colours())
    seen[:130] = colours(130, seed=1)
    assert estimate(seen, colours(), np.ones(400), lighting((0.75,) * 3)).differs(light) < 0.06


def test_pixels_that_say_nothing_leave_it_as_declared():
    found = estimate(np.full((9, 3), 0.5, np.float32), np.full((9, 3), 0.5, np.float32), np.zeros(9), Lighting())
    assert found.differs(Lighting()) == 0


def test_a_cast_that_no_light_has_stays_a_wrong_colour():
    """Red for blue would need a gain of ten in one channel."""
    blue, red = np.array([0.08, 0.3, 0.8], np.float32), np.array([0.8, 0.3, 0.08], np.float32)
    found = estimate(np.tile(red, (50, 1)), np.tile(blue, (50, 1)), np.ones(50), Lighting())
    assert found.gain.max() <= MOST_GAIN
    assert (found.gain / np.exp(np.log(found.gain).mean())).max() <= MOST_CAST + 1e-6
    assert np.linalg.norm(found.on(blue) - red) > 0.5


def test_what_is_cut_off_is_known():
    assert lighting((0.8, 0.9, 1.0)).limits is None
    darkest, brightest = lighting((1.25, 1, 1), (-0.1, 0, 0)).limits
    assert darkest == pytest.approx([0.08, 0, 0])
    assert brightest == pytest.approx([0.88, 1, 1])


def test_a_background_tells_a_light_to_try():
    background = np.broadcast_to(np.linspace(0.2, 0.7, 32, dtype=np.float32)[:, None, None], (32, 32, 3)) * [
        1,
        0.8,
        0.6,
    ]
    light = lighting((0.7, 0.8, 0.9))
    seen = light.on(background.astype(np.float32))
    seen[8:20, 8:20] = colours(144).reshape(12, 12, 3)
    tried = candidates(seen, background.astype(np.float32))
    assert tried[0].differs(Lighting()) == 0
    assert min(one.differs(light) for one in tried) < 0.05
    assert len(candidates(seen, None)) == len(tried) - 1


def test_a_light_and_its_undoing_are_inverse():
    light = lighting((0.7, 0.9, 1.0), (0.05, 0, 0))
    assert light.undone(light.on(colours())) == pytest.approx(colours(), abs=1e-5)
