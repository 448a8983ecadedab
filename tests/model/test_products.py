"""Products of weights are kept for a request and follow every change of the weights."""

from __future__ import annotations

import torch
from torch import nn

from occlusionformer.model.delta import LowRankDelta, WeightProducts


def counted(products: WeightProducts, weight: torch.Tensor, made: list[int]) -> torch.Tensor:
    def form() -> torch.Tensor:
        made.append(1)
        return 2 * weight

    return products.of("owner", (weight,), form)


@torch.no_grad()
def test_a_product_is_formed_once():
    products, weight, made = WeightProducts(), torch.ones(2, 2), []
    first, second = counted(products, weight, made), counted(products, weight, made)
    assert first is second
    assert len(made) == 1


@torch.no_grad()
def test_a_product_is_formed_again_after_a_change_in_place():
    products, weight, made = WeightProducts(), torch.ones(2, 2), []
    counted(products, weight, made)
    weight.mul_(3)
    assert counted(products, weight, made).eq(6).all()


@torch.no_grad()
def test_a_product_is_formed_again_for_another_tensor():
    products, made = WeightProducts(), []
    counted(products, torch.ones(2, 2), made)
    assert counted(products, torch.zeros(2, 2), made).eq(0).all()


def test_nothing_is_kept_while_gradients_are_recorded():
    products, weight, made = WeightProducts(), torch.ones(2, 2, requires_grad=True), []
    counted(products, weight, made)
    assert counted(products, weight, made).requires_grad
    assert len(made) == 2


def test_nothing_is_kept_of_inference_tensors():
    with torch.inference_mode():
        products, weight, made = WeightProducts(), torch.ones(2, 2), []
        counted(products, weight, made)
        weight.mul_(3)
        assert counted(products, weight, made).eq(6).all()


@torch.no_grad()
def test_a_delta_whose_weights_are_trained_on_between_two_steps_gives_the_new_result():
    base, low, products, x = nn.Linear(4, 4), LowRankDelta(4, 4, 2, 0.5), WeightProducts(), torch.randn(8, 4)
    before = low(base, x, products)
    for weight in (low.up.weight, low.down.weight, base.weight):
        weight.add_(torch.randn_like(weight))
    after = low(base, x, products)
    assert not torch.allclose(before, after)
    assert torch.allclose(after, base(x) + low.up(low.down(x)) * 0.5, atol=1e-5)
