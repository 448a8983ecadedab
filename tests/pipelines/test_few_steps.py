"""Four and eight steps, as distilled backbones take them: on how many of them a layout acts, and that it does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from occlusionformer.pipelines.schedule import active_steps, noise_levels
from tests.pipelines.test_hosts import HIGHEST, difference, layout, secluded
from tests.pipelines.tiny import seeded

GUIDE = Path(__file__).parents[2] / "docs" / "diffusers.md"
TOKENS = 4096
"""Of 1024 x 1024 pixels."""
SCHEDULERS = {
    "FLUX.1-dev": FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
    "FLUX.1-schnell": FlowMatchEulerDiscreteScheduler(shift=1.0),
}
"""With the numbers of their scheduler_config.json."""
LATENT = {"output_type": "latent", "max_sequence_length": 24}


@pytest.fixture(scope="module")
def schnell():
    """Shaped and scheduled like FLUX.1-schnell: without an embedding of guidance, noise levels at equal distances."""
    pipeline = secluded(guidance_embeds=False)
    pipeline.register_modules(scheduler=SCHEDULERS["FLUX.1-schnell"])
    return pipeline


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_a_layout_acts_inside_its_boxes(schnell, steps):
    plain, drawn = (
        schnell(layout=layout(), num_inference_steps=steps, strength=strength, **LATENT, generator=seeded(0)).images
        for strength in (0.0, 1.0)
    )
    inside, outside, least = difference(drawn, plain)
    assert inside > 1e-2
    assert least > 1e-3
    assert outside < HIGHEST


@pytest.mark.parametrize(
    ("steps", "ratio", "expected"),
    [
        (4, 0.0, 0), (4, 0.1, 1), (4, 0.3, 1), (4, 0.5, 2), (4, 1.0, 4),
        (8, 0.1, 1), (8, 0.3, 2), (8, 0.375, 3), (1, 0.3, 1),
    ],
)  # fmt: skip
def test_it_acts_on_whole_steps_from_the_first(schnell, monkeypatch, steps, ratio, expected):
    levels = []
    opening = type(schnell.branch).open

    def noted(branch, prepared, inputs):
        levels.append(float(inputs.timestep_B[0]))
        return opening(branch, prepared, inputs)

    monkeypatch.setattr(type(schnell.branch), "open", noted)
    schnell(layout=layout(), num_inference_steps=steps, grounding_ratio=ratio, **LATENT, generator=seeded(0))
    assert levels == pytest.approx([1 - step / steps for step in range(expected)])


def test_guidance_is_ignored_by_a_backbone_without_it(schnell):
    one, other = (
        schnell(layout=layout(), num_inference_steps=4, guidance_scale=scale, **LATENT, generator=seeded(0)).images
        for scale in (0.0, 7.0)
    )
    assert torch.equal(one, other)


def test_the_masks_are_those_of_the_last_step_with_the_layout(schnell):
    """With one such step, they are of that one."""
    few, one = (
        schnell(
            layout=layout(), num_inference_steps=steps, grounding_ratio=0.25, output_instance_masks=True, **LATENT,
            generator=seeded(0),
        ).instance_masks
        for steps in (4, 1)
    )  # fmt: skip
    torch.testing.assert_close(few[0], one[0], rtol=1e-4, atol=1e-4)


def test_the_guide_says_where_the_layout_ends():
    """Every row of its table is computed here: schedule, steps, ratio, steps with the layout, level where they end."""
    rows = [line.strip("| \n").split(" | ") for line in GUIDE.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row[0] in SCHEDULERS]
    assert len(rows) >= 6
    for schedule, steps, ratio, acted, end in rows:
        levels = [*noise_levels(SCHEDULERS[schedule], int(steps), None, TOKENS), 0.0]
        assert active_steps(float(ratio), int(steps)) == int(acted)
        assert levels[int(acted)] == pytest.approx(float(end), abs=0.005)
