"""On which steps a layout acts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.pipelines.schedule import active_steps, last_steps, level_between, noise_levels
from tests.pipelines.tiny import seeded, tiny_pipeline, two_overlapping
from tests.tables import for_each


@for_each(
    ("ratio", "steps", "expected"),
    [(0.57, 100, 57), (0.3, 28, 8), (0.3, 1, 1), (0.3, 3, 1), (0.01, 28, 1), (0.0, 28, 0), (1.0, 28, 28),
     (2 / 3, 3, 2), (1 / 3, 3, 1), (0.29, 100, 29), (0.5, 5, 2), (1e-9, 4, 1)],
)  # fmt: skip
def test_whole_steps_within_the_share_and_at_least_one(ratio, steps, expected):
    assert active_steps(ratio, steps) == expected


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_share_of_k_steps_is_k_steps(part, steps):
    if part <= steps:
        assert active_steps(part / steps, steps) == part


def test_the_released_rounding_has_a_name():
    assert [active_steps(ratio, steps, truncated=True) for ratio, steps in ((0.57, 100), (0.3, 3), (0.3, 28))] == [
        56, 0, 8,
    ]  # fmt: skip


def test_levels_are_those_of_the_pipelines_schedule():
    pipeline = tiny_pipeline()
    before = pipeline.scheduler.timesteps.clone()
    levels = noise_levels(pipeline.scheduler, 4, None, 24)
    assert torch.equal(pipeline.scheduler.timesteps, before)
    seen = []
    pipeline(
        "a garden", height=64, width=96, num_inference_steps=4, output_type="latent",
        callback_on_step_end=lambda pipe, step, timestep, tensors: seen.append(float(timestep) / 1000) or tensors,
    )  # fmt: skip
    assert levels == pytest.approx(seen)


@pytest.mark.parametrize("active", range(5))
def test_a_level_lies_between_the_last_active_step_and_the_next(active):
    levels = [1.0, 0.75, 0.5, 0.25]
    until = level_between(levels, active)
    assert sum(level > until for level in levels) == active


def test_img2img_runs_the_last_steps():
    levels = [1.0, 0.75, 0.5, 0.25]
    assert last_steps(levels, 4, 0.75) == levels[1:]
    assert last_steps(levels, 4, 1.0) == levels
    assert last_steps(levels, 4, 0.1) == levels[3:]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_pipeline_counts_its_steps_in_any_format(monkeypatch, dtype):
    """In bfloat16 neighbouring noise levels are one number: the host's count decides."""
    pipeline = tiny_pipeline().to(dtype)
    opened = []
    opening = type(pipeline.branch).open
    monkeypatch.setattr(type(pipeline.branch), "open", lambda *given: opened.append(1) or opening(*given))
    pipeline(
        layout=two_overlapping(), num_inference_steps=100, grounding_ratio=0.57, output_type="latent",
        generator=seeded(0),
    )  # fmt: skip
    assert len(opened) == 57


def test_turbo_steps_obey_the_layout_once():
    pipeline = tiny_pipeline()
    arguments = {"layout": two_overlapping(), "num_inference_steps": 1, "output_type": "latent"}
    drawn, released, plain = (
        pipeline(**arguments, grounding_ratio=0.3, generator=seeded(0), **more).images
        for more in ({}, {"truncate_grounding": True}, {"strength": 0.0})
    )
    assert not torch.equal(drawn, plain)
    assert torch.equal(released, plain)
