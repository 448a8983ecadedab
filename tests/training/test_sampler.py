"""What each step is made of, however it is divided and wherever a run resumes."""

from __future__ import annotations

import pytest

from occlusionformer.data.samples import SampleShape
from occlusionformer.training.sampler import Buckets, Division, InTurn, Parts, bucketed

BUCKETS = Buckets(side=1024, step=64, aspects=True, instance_ends=(2, 4))
SHAPES = [
    SampleShape(width=width, height=height, instances=instances)
    for width, height in ((1500, 1000), (1000, 1500), (800, 800))
    for instances in (1, 2, 3, 4, 9)
    for _ in range(7)
]


def plan(batch: int = 4, seed: int = 0):
    return bucketed(SHAPES, BUCKETS, range(len(SHAPES)), batch=batch, seed=seed)


def test_a_batch_has_one_canvas_and_one_group_of_instance_counts():
    made = plan()
    for step in range(made.steps_per_epoch):
        draws = made.draws(step)
        assert len(draws) == 4
        assert len({draw.canvas for draw in draws}) == 1
        assert len({BUCKETS.group(SHAPES[draw.index].instances) for draw in draws}) == 1


def test_an_epoch_shows_every_sample_and_the_next_shows_them_in_another_order():
    made = plan()
    epochs = [
        [draw.index for step in range(made.steps_per_epoch) for draw in made.draws(step + first)]
        for first in (0, made.steps_per_epoch)
    ]
    assert set(epochs[0]) == set(epochs[1]) == set(range(len(SHAPES)))
    assert epochs[0] != epochs[1]


def test_steps_do_not_depend_on_the_steps_before():
    in_order = [plan().draws(step) for step in range(60)]
    made = plan()
    assert [made.draws(step) for step in reversed(range(60))] == in_order[::-1]


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (1500, 1000), (1000, 1500), (4000, 1000), (640, 480)])
def test_the_canvas_is_close_in_shape_and_no_larger_than_the_square(width: int, height: int):
    high, wide = BUCKETS.canvas(SampleShape(width=width, height=height, instances=1))
    assert high % 64 == wide % 64 == 0
    assert high * wide <= 1024**2
    assert abs(wide / high / (width / height) - 1) < 0.12


def test_samples_without_instances_are_not_trained_on():
    shapes = [SampleShape(width=10, height=10, instances=index % 2) for index in range(10)]
    made = bucketed(shapes, BUCKETS, range(10), batch=2, seed=0)
    shown = {draw.index for step in range(made.steps_per_epoch) for draw in made.draws(step)}
    assert shown == {1, 3, 5, 7, 9}


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (2, 1), (1, 4), (2, 2), (4, 2)])
def test_processes_and_parts_share_a_batch_without_rest(processes: int, parts: int):
    draws = InTurn(8, lambda _: (16, 16)).draws(3)
    shares = [Division(process=p, processes=processes, parts=parts).of(draws) for p in range(processes)]
    assert sorted(draw.ordinal for share in shares for part in share for draw in part) == list(range(24, 32))
    assert {len(part) for share in shares for part in share} == {8 // processes // parts}


def test_a_loader_that_starts_later_goes_on_where_another_would_be():
    division = Division(process=1, processes=2, parts=2)
    whole = list(Parts(plan(), division, range(10)))
    assert list(Parts(plan(), division, range(6, 10))) == whole[6 * 2 :]
