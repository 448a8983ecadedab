from __future__ import annotations

import random

import pytest

from occlusionformer.data.held_out import SHARE, Candidate, evaluation_images, is_held_out_image

HELD_OUT = [str(number) for number in range(2000) if is_held_out_image(str(number))]


def hard(image_id, *, instances=3, occlusions=2, total_iou=1.0):
    return Candidate(image_id, instances, occlusions, total_iou)


def test_the_rule_never_changes():
    """Models were trained without these: another hash would put them into training sets."""
    assert HELD_OUT[:5] == ["470", "509", "665", "1408", "1918"]


def test_half_a_per_cent_is_held_out():
    found = sum(is_held_out_image(f"sa_{number}") for number in range(20_000))
    assert found / 20_000 == pytest.approx(SHARE, abs=4 * (SHARE / 20_000) ** 0.5)


def test_the_hardest_are_chosen_however_they_are_listed():
    easy, twin, other = HELD_OUT[:3]
    listed = [hard(easy, total_iou=0.5), hard(twin), hard(other), hard("1", total_iou=9)]
    assert not is_held_out_image("1")
    expected = (*sorted([twin, other]), easy)
    for seed in range(5):
        assert evaluation_images(random.Random(seed).sample(listed, len(listed))) == expected


def test_pictures_with_too_little_to_judge_are_left_out():
    assert evaluation_images([hard(HELD_OUT[0], instances=2), hard(HELD_OUT[1], occlusions=1)]) == ()


def test_no_more_than_are_wanted(monkeypatch):
    monkeypatch.setattr("occlusionformer.data.held_out.NUM_IMAGES", 2)
    assert evaluation_images(map(hard, HELD_OUT)) == tuple(sorted(HELD_OUT)[:2])
