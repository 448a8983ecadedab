"""What is minimised, and the ablations of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from occlusionformer.model.attention import QueryKeyValue
from occlusionformer.tensors.alignment import mask_cross_entropy
from occlusionformer.training.attention_maps import attention_probability
from occlusionformer.training.examples import Batch
from occlusionformer.training.objective import Inputs
from occlusionformer.training.randomness import Randomness
from occlusionformer.training.sampler import Draw
from occlusionformer.training.trainer import Trainer

from .runs import tiny_config, tiny_trainer


def part_of(trainer: Trainer, count: int = 4) -> Batch:
    draws = trainer.data.draws[:count]
    return trainer.examples.collate([trainer.examples[draw] for draw in draws])


def awake(trainer: Trainer) -> None:
    """Random values where a fresh branch is zero, so that nothing is idle."""
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trainer.pipeline.branch.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise))


def test_flow_is_the_squared_error_of_the_velocity_and_align_the_mean_cross_entropy(tmp_path: Path):
    trainer = tiny_trainer(tmp_path)
    awake(trainer)
    inputs = trainer.inputs(part_of(trainer))
    flow_B, align_N = trainer.objective(inputs)
    time = inputs.time_B[:, None, None]
    noisy = (1 - time) * inputs.clean_BLC + time * inputs.noise_BLC
    output = trainer.objective.predict(noisy, inputs.time_B, inputs.conditions, masks=True)
    velocity = inputs.noise_BLC - inputs.clean_BLC
    torch.testing.assert_close(flow_B, (output.velocity_BLC - velocity).square().mean((1, 2)))
    losses = [mask_cross_entropy(logits, inputs.mask_NL) for logits in output.mask_logits]
    torch.testing.assert_close(align_N, sum(losses).mean(1) / len(losses))


def test_a_model_of_pictures_is_weighed_by_the_time(tmp_path: Path):
    trainer = tiny_trainer(tmp_path, "objective.time_floor=0.4")
    objective, inputs = trainer.objective, trainer.inputs(part_of(trainer))
    inputs = replace(inputs, time_B=torch.tensor([0.2, 0.4, 0.7, 1.0]))
    time = inputs.time_B[:, None, None]
    noisy = (1 - time) * inputs.clean_BLC + time * inputs.noise_BLC
    sample = objective.predict(noisy, inputs.time_B, inputs.conditions).velocity_BLC
    error_B = (sample - inputs.clean_BLC).square().mean((1, 2))
    objective.backbone.register_to_config(prediction_type="sample")
    flow_B, _ = objective(inputs)
    torch.testing.assert_close(flow_B / error_B, torch.tensor([0.4, 0.4, 0.7, 1.0]) ** -2)


def gradients(trainer: Trainer) -> dict[str, Tensor]:
    flow_B, align_N = trainer.objective(trainer.inputs(part_of(trainer)))
    (flow_B.mean() + 0.5 * align_N.mean()).backward()
    return {name: p.grad for name, p in trainer.parameters.items() if p.grad is not None}


def test_the_backbone_is_frozen_and_every_part_of_the_branch_learns(tmp_path: Path):
    trainer = tiny_trainer(tmp_path)
    awake(trainer)
    found = gradients(trainer)
    assert all(name.startswith("branch.") for name in found)
    for part in ("embedder", "deltas", "density", "mask_head.query", "mask_head.predictor", "project", "ff_gate"):
        assert any(part in name and gradient.abs().max() > 0 for name, gradient in found.items()), part


def test_a_static_density_is_one_vector_for_each_block(tmp_path: Path):
    trainer = tiny_trainer(tmp_path, "model.method.density=static")
    awake(trainer)
    names = [name for name in gradients(trainer) if "density" in name]
    assert sorted(names) == ["branch.dual.0.density.level", "branch.single.0.density.level"]


def test_without_alignment_there_is_no_mask_head_and_no_loss_from_it(tmp_path: Path):
    trainer = tiny_trainer(tmp_path, "objective.align=none")
    _, align_N = trainer.objective(trainer.inputs(part_of(trainer)))
    assert align_N.eq(0).all()
    assert not [name for name in trainer.parameters if "mask_head" in name]


def test_attention_maps_can_be_aligned_instead_of_queries(tmp_path: Path):
    trainer = tiny_trainer(tmp_path, "objective.align=attention")
    awake(trainer)
    assert not [name for name in trainer.parameters if "mask_head" in name]
    _, align_N = trainer.objective(trainer.inputs(part_of(trainer)))
    align_N.mean().backward()
    query = trainer.parameters["branch.dual.0.deltas.context_q.up.weight"].grad
    assert query is not None
    assert query.abs().max() > 0


def test_attention_maps_are_softmaxes_over_an_instances_own_pixels(tmp_path: Path):
    trainer = tiny_trainer(tmp_path)
    packed = part_of(trainer).condition.packed
    first_row = packed.num_instances
    torch.manual_seed(0)
    joint = QueryKeyValue(*(torch.randn(first_row + int(packed.row_T.max()) + 1, 2, 5) for _ in range(3)))
    found_T = attention_probability(joint, packed)
    for instance in range(packed.num_instances):
        own = packed.owner_T == instance
        scores = torch.einsum("he,the->th", joint.query[instance], joint.key[first_row + packed.row_T[own]]) / 5**0.5
        mean = scores.softmax(0).mean(1)
        torch.testing.assert_close(found_T[own], mean / mean.max())


def test_visible_masks_only_hides_what_cannot_be_seen(tmp_path: Path):
    amodal = part_of(tiny_trainer(tmp_path / "a"), 8)
    visible = part_of(tiny_trainer(tmp_path / "b", "data.extent=visible"), 8)
    assert visible.mask_NL.sum() < amodal.mask_NL.sum()
    assert torch.equal(visible.mask_NL, visible.seen_NL)
    areas = [
        (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
        for box in (visible.condition.packed.box_N4, amodal.condition.packed.box_N4)
    ]
    assert (areas[0] <= areas[1] + 1e-6).all()
    assert (areas[0] < areas[1] - 1e-6).any()


def test_noise_belongs_to_the_draw_and_not_to_its_place_in_a_batch():
    randomness = Randomness(3, tiny_config().objective)
    draws = [Draw(index, 10 + index, (16, 16)) for index in range(4)]
    times, noise = randomness.times_and_noise(draws, (5, 2))
    time, alone = randomness.times_and_noise(draws[2:3], (5, 2))
    assert torch.equal(times[2:3], time)
    assert torch.equal(noise[2:3], alone)
    again = [Draw(draw.index, draw.ordinal + 4, draw.canvas) for draw in draws]
    assert not torch.equal(randomness.times_and_noise(again, (5, 2))[1], noise)
    fixed = Randomness(3, tiny_config("objective.fixed_noise=true").objective)
    assert torch.equal(fixed.times_and_noise(again, (5, 2))[1], fixed.times_and_noise(draws, (5, 2))[1])


@pytest.mark.parametrize(("mean", "shift"), [(0.0, 1.0), (1.5, 1.0), (0.0, 3.0)])
def test_times_have_the_median_that_mean_and_shift_ask_for(mean: float, shift: float):
    objective = tiny_config(f"objective.time_mean={mean}", f"objective.time_shift={shift}").objective
    draws = [Draw(0, ordinal, (16, 16)) for ordinal in range(2000)]
    times, _ = Randomness(0, objective).times_and_noise(draws, (1,))
    middle = torch.sigmoid(torch.tensor(mean))
    expected = shift * middle / (1 + (shift - 1) * middle)
    assert times.median() == pytest.approx(float(expected), abs=0.03)


def test_gradient_checkpointing_changes_nothing_but_rounding(tmp_path: Path):
    plain = tiny_trainer(tmp_path / "plain")
    awake(plain)
    expected = gradients(plain)
    other = tiny_trainer(tmp_path / "other", "execution.gradient_checkpointing=true")
    awake(other)
    found = gradients(other)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_inputs_hold_what_the_batch_says(tmp_path: Path):
    trainer = tiny_trainer(tmp_path)
    part = part_of(trainer)
    inputs: Inputs = trainer.inputs(part)
    picture = part.pixels_BCHW.float() / 127.5 - 1
    side = 2
    tokens = picture.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    torch.testing.assert_close(inputs.clean_BLC.sort(-1).values, tokens.sort(-1).values)
