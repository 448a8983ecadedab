"""The straight path between data and noise, its velocity, and the times at which it is sampled."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.tensors import flow


def sample(seed: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    data, noise = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    return data.to(dtype), noise.to(dtype)


def test_time_zero_is_data_and_time_one_is_noise():
    data, noise = sample(0)
    time_B = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)
    path = flow.interpolate(data, noise, time_B)
    assert torch.equal(path[0], data[0])
    assert torch.equal(path[1], noise[1])
    torch.testing.assert_close(path[2], 0.75 * data[2] + 0.25 * noise[2])


def test_velocity_is_the_derivative_of_the_path():
    data, noise = sample(1)
    time_B = torch.full((3,), 0.4, dtype=torch.float64)
    later = flow.interpolate(data, noise, time_B + 0.5)
    slope = (later - flow.interpolate(data, noise, time_B)) / 0.5
    torch.testing.assert_close(slope, flow.velocity_target(data, noise), rtol=0, atol=1e-14)


@given(st.floats(0.01, 1), st.integers(0, 99))
def test_sample_and_velocity_say_the_same(time, seed):
    data, noise = sample(seed)
    time_B = torch.full((3,), time, dtype=torch.float64)
    noisy, velocity = flow.interpolate(data, noise, time_B), flow.velocity_target(data, noise)
    torch.testing.assert_close(flow.sample_from_velocity(noisy, velocity, time_B), data, rtol=0, atol=1e-12)
    torch.testing.assert_close(flow.velocity_from_sample(noisy, data, time_B), velocity, rtol=0, atol=1e-10)


def test_velocity_in_half_precision_is_computed_in_single():
    data, noise = sample(2, torch.bfloat16)
    time_B = torch.full((3,), 1e-3)
    noisy = flow.interpolate(data, noise, time_B.bfloat16())
    velocity = flow.velocity_from_sample(noisy, data, time_B)
    assert velocity.dtype == torch.bfloat16
    expected = ((noisy.float() - data.float()) / 1e-3).bfloat16()
    torch.testing.assert_close(velocity, expected, rtol=1e-2, atol=0)


def test_times_lie_between_zero_and_one_and_repeat_with_their_generator():
    draws = [
        flow.sample_timesteps(2000, mean=mean, std=1.0, generator=torch.Generator().manual_seed(0))
        for mean in (-1.5, 1.5, 1.5)
    ]
    assert all(((t > 0) & (t < 1)).all() for t in draws)
    assert torch.equal(draws[1], draws[2])
    assert draws[0].median().item() == pytest.approx(torch.sigmoid(torch.tensor(-1.5)).item(), abs=0.03)
    assert draws[1].median().item() == pytest.approx(torch.sigmoid(torch.tensor(1.5)).item(), abs=0.03)


def test_drawing_times_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    flow.sample_timesteps(5, mean=0.0, std=1.0, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
