"""Who moves which parameter, how fast, and what is averaged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from occlusionformer.training import override, recipe
from occlusionformer.training.build import build_pipeline
from occlusionformer.training.config import OptimizerConfig
from occlusionformer.training.muon import Muon, orthogonal
from occlusionformer.training.optimizer import Average, build_optimizers, rate


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 12, 12)])
def test_orthogonal_keeps_the_singular_vectors_and_evens_the_values(shape: tuple[int, ...]):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = orthogonal(matrices)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    values = left.mT @ made @ right.mT
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    assert (values - torch.diag_embed(diagonal)).abs().max() < 1e-10
    assert 0.3 < diagonal.min() < diagonal.max() < 1.3


def test_muon_steps_as_far_for_every_shape_and_size_of_gradient():
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((16, 16), (16, 64), (64, 16))]
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 100**number
    Muon(parameters, lr=0.5, weight_decay=0.0).step()
    sizes = [parameter.detach().square().mean().sqrt().item() for parameter in parameters]
    assert all(0.5 * 0.2 * 0.7 < size < 0.5 * 0.2 * 1.2 for size in sizes)


def test_muon_follows_momentum():
    """One matrix against the rule written out."""
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 6), [torch.randn(4, 6) for _ in range(3)]
    parameter = nn.Parameter(start.clone())
    muon = Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.05)
    expected, momentum = start.clone(), torch.zeros(4, 6)
    for gradient in gradients:
        parameter.grad = gradient
        muon.step()
        momentum = 0.9 * momentum + 0.1 * gradient
        ahead = 0.1 * gradient + 0.9 * momentum
        expected = expected * (1 - 0.1 * 0.05) - 0.1 * 0.2 * 6**0.5 * orthogonal(ahead[None])[0]
    torch.testing.assert_close(parameter.detach(), expected)


def test_muon_takes_matrices_of_blocks_and_adamw_everything_else():
    pipeline = build_pipeline(override(recipe("overfit"), ["model.train_backbone=true"]))
    named = {
        **{f"backbone.{name}": p for name, p in pipeline.transformer.named_parameters()},
        **{f"branch.{name}": p for name, p in pipeline.branch.named_parameters()},
    }
    muon, adamw = build_optimizers(named, OptimizerConfig(name="muon", lr=1e-3))
    moved = {id(p) for group in muon.param_groups for p in group["params"]}
    rest = {id(p) for group in adamw.param_groups for p in group["params"]}
    assert not moved & rest
    assert moved | rest == {id(p) for p in named.values()}
    for name in ("backbone.x_embedder.weight", "backbone.proj_out.weight", "branch.embedder.text_in.weight"):
        assert id(named[name]) in rest
    for name in ("backbone.transformer_blocks.0.attn.to_q.weight", "branch.dual.0.project.weight"):
        assert id(named[name]) in moved


def test_only_matrices_decay():
    (adamw,) = build_optimizers(
        {"matrix": nn.Parameter(torch.ones(2, 2)), "bias": nn.Parameter(torch.ones(2))},
        OptimizerConfig(lr=1e-3, weight_decay=0.3),
    )
    assert [(group["params"][0].ndim, group["weight_decay"]) for group in adamw.param_groups] == [(2, 0.3), (1, 0.0)]


def test_the_rate_warms_up_stays_and_falls():
    config = OptimizerConfig(lr=1.0, warmup=10, decay_share=0.4, final_share=0.01)
    rates = [rate(step, 100, config) for step in range(100)]
    assert rates[0] == 0.1
    assert rates[9] == rates[59] == rates[60] == 1.0
    assert rates[80] == 0.5
    assert rates[99] == pytest.approx(0.025)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert {rate(step, 10, OptimizerConfig(lr=1.0)) for step in range(10)} == {1.0}


def test_the_average_is_exponential_and_swapping_twice_changes_nothing():
    parameter = nn.Parameter(torch.zeros(3))
    average = Average({"p": parameter}, 0.9)
    expected = torch.zeros(3)
    for step in range(1, 40):
        with torch.no_grad():
            parameter.copy_(torch.randn(3, generator=torch.Generator().manual_seed(step)))
        average.update(step)
        decay = min(0.9, step / (step + 9))
        expected = decay * expected + (1 - decay) * parameter.detach()
    torch.testing.assert_close(average.values["p"], expected)
    before = parameter.detach().clone(), average.values["p"].clone()
    average.swap()
    assert torch.equal(parameter.detach(), before[1])
    average.swap()
    assert torch.equal(parameter.detach(), before[0])
    assert torch.equal(average.values["p"], before[1])
