"""A request that exists can be drawn; everything wrong with one is told at once."""

from __future__ import annotations

import dataclasses
import math

import pytest

from occlusionformer.generation import GenerationRequest, RequestError, choose_seed
from tests.generation.layouts import cat_and_vase
from tests.tables import for_each


def test_size_is_the_layouts_unless_given():
    assert GenerationRequest(layout=cat_and_vase()).canvas == (128, 96)
    assert GenerationRequest(layout=cat_and_vase(), width=64).canvas == (64, 96)


def test_seed_is_chosen_in_order():
    assert choose_seed(GenerationRequest(layout=cat_and_vase(seed=3), seed=4)) == 4
    assert choose_seed(GenerationRequest(layout=cat_and_vase(seed=3), seed=0)) == 0
    assert choose_seed(GenerationRequest(layout=cat_and_vase(seed=3))) == 3
    fresh = {choose_seed(GenerationRequest(layout=cat_and_vase())) for _ in range(4)}
    assert len(fresh) == 4
    assert all(0 <= seed < 2**32 for seed in fresh)


def test_all_problems_are_told_at_once():
    with pytest.raises(RequestError) as caught:
        GenerationRequest(
            layout="cat.json", seed=-1, width=0, height=1.5, steps=0, guidance=math.nan, grounding_ratio=1.01,
            strength=math.inf,
        )  # fmt: skip
    assert caught.value.problems == [
        "layout: expected a Layout, got str",
        "seed: expected a whole number from 0 to 9223372036854775807, got -1",
        "width: expected a whole number from 1 to 16777216, got 0",
        "height: expected a whole number from 1 to 16777216, got 1.5",
        "steps: expected a whole number from 1 to 1000, got 0",
        "guidance: expected a finite number of at least 0, got nan",
        "grounding_ratio: expected a number from 0 to 1, got 1.01",
        "strength: expected a finite number of at least 0, got inf",
    ]
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", True), ("steps", "4"), ("guidance", "3"), ("strength", None), ("grounding_ratio", False)],
)
def test_wrong_types_are_refused(field, value):
    with pytest.raises(RequestError, match=f"{field}: expected .*, got {value!r}"):
        GenerationRequest(layout=cat_and_vase(), **{field: value})


LIMITS = {"seed": (0, 2**63 - 1), "steps": (1, 1000), "guidance": (0,), "grounding_ratio": (0, 1.0), "strength": (0,)}


@for_each(("field", "value"), [(field, value) for field in LIMITS for value in LIMITS[field]])
def test_limits_themselves_are_allowed(field, value):
    assert getattr(GenerationRequest(layout=cat_and_vase(), **{field: value}), field) == value


def test_too_many_pixels_are_refused():
    with pytest.raises(RequestError, match="expected at most 16777216 pixels, got 8192 x 4096"):
        GenerationRequest(layout=cat_and_vase(), width=8192, height=4096)


def test_request_cannot_be_changed():
    request = GenerationRequest(layout=cat_and_vase())
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.steps = 4
