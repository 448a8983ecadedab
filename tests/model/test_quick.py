"""Training in bf16 on a CPU: other kernels, the same numbers but for rounding; everything else is left alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from unittest import mock

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor, nn

from occlusionformer.model import quick
from occlusionformer.model.attention import normed_and_rotated, normed_and_rotated_batch, rotate
from occlusionformer.model.backbones.flux_training import TrainingAttnProcessor, speed_up_training
from tests.model.test_flux_blocks import KINDS, in_pieces, random_streams, stock, through
from tests.model.tiny import tiny_backbone
from tests.tables import for_each

by_kind = pytest.mark.parametrize("kind", list(KINDS))
BF16 = 2**-8
"""Twice the relative rounding of bf16."""


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative, over all numbers."""
    return float(((found.double() - expected.double()).norm() / expected.double().norm()).detach())


def blocks(kind: str) -> tuple[nn.Module, nn.Module]:
    """A block as diffusers runs it, and the same sped up."""
    plain = tiny_backbone()
    fast = copy.deepcopy(plain)
    speed_up_training(fast)
    name = KINDS[kind][1]
    return getattr(plain, name)[1], getattr(fast, name)[1]


def trained(block: nn.Module, dtype: torch.dtype | None) -> list[Tensor]:
    """Outputs and gradients of all weights, computed under autocast to `dtype`."""
    streams = random_streams(torch.float32)
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        outputs = stock(block, streams)
    sum((output.float() * noise(*output.shape, seed=number)).sum() for number, output in enumerate(outputs)).backward()
    return [*(output.detach() for output in outputs), *(p.grad for p in block.parameters())]


@by_kind
def test_a_block_trains_alike_but_for_rounding(kind):
    plain, fast = blocks(kind)
    exact = trained(copy.deepcopy(plain), None)
    expected, found = trained(plain, torch.bfloat16), trained(fast, torch.bfloat16)
    assert any(not torch.equal(a, b) for a, b in zip(found, expected, strict=True)), "the kernels are used"
    for value, usual, true in zip(found, expected, exact, strict=True):
        assert value.dtype == usual.dtype
        assert distance(value, true) < 1.5 * distance(usual, true) + BF16


@by_kind
@for_each("dtype, gradients", [(None, True), (torch.float16, True), (torch.bfloat16, False)])
def test_elsewhere_a_block_is_diffusers_own_bit_for_bit(kind, dtype, gradients):
    plain, fast = blocks(kind)
    streams = random_streams(torch.float32)
    with torch.set_grad_enabled(gradients), torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        for found, expected in zip(stock(fast, streams), stock(plain, streams), strict=True):
            assert torch.equal(found, expected)


@by_kind
def test_a_mask_is_left_to_diffusers(kind):
    plain, fast = blocks(kind)
    streams = random_streams(torch.float32)
    tokens = streams.text_BSD.shape[1] + streams.image_BLD.shape[1]
    mask = torch.eye(tokens, dtype=torch.bool) | (noise(tokens, tokens) > 0)
    streams = random_streams(torch.float32, extra={"attention_mask": mask})
    with torch.autocast("cpu", torch.bfloat16):
        for found, expected in zip(stock(fast, streams), stock(plain, streams), strict=True):
            assert torch.equal(found, expected)


@by_kind
@for_each("added", [False, True], ids=["a mask of who attends", "a mask of logits"])
def test_pieces_with_layers_of_a_method_train_alike_but_for_rounding(kind, added):
    plain, fast = blocks(kind)
    tokens = sum(x.shape[1] for x in (random_streams(torch.float32).text_BSD, random_streams(torch.float32).image_BLD))
    mask = torch.eye(tokens, dtype=torch.bool) | (noise(2, 1, tokens, tokens) > 0)
    if added:
        mask = noise(1, 1, 1, tokens).masked_fill(~mask, -torch.inf)
    streams = random_streams(torch.float32, extra={"attention_mask": mask})
    results = []
    for block, autocast in ((plain, False), (plain, True), (fast, True)):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            after = in_pieces(KINDS[kind][0](1, block), streams, through)
        (after.text_BSD.float().square().sum() + after.image_BLD.float().square().sum()).backward()
        results.append([after.text_BSD.detach(), after.image_BLD.detach(), *(p.grad for p in block.parameters())])
    exact, expected, found = results
    assert any(not torch.equal(a, b) for a, b in zip(found, expected, strict=True)), "the kernels are used"
    for value, usual, true in zip(found, expected, exact, strict=True):
        assert distance(value, true) < 1.5 * distance(usual, true) + BF16


@by_kind
@for_each("autocast", [True, False])
def test_tables_of_every_picture_train_as_one_of_all(kind, autocast):
    """That they are one after the other what they should be is tested with the methods that make them."""
    block = blocks(kind)[1]
    shared = random_streams(torch.float32)
    each = tuple(table.expand(len(shared.image_BLD), -1, -1) for table in shared.rotary)
    results = []
    for streams in (shared, replace(shared, rotary=each)):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            after = in_pieces(KINDS[kind][0](1, block), streams, through)
        (after.text_BSD.float().square().sum() + after.image_BLD.float().square().sum()).backward()
        results.append([after.text_BSD.detach(), after.image_BLD.detach(), *(p.grad for p in block.parameters())])
    for found, expected in zip(*results, strict=True):
        assert distance(found, expected) < (BF16 if autocast else 1e-6)


def test_only_the_usual_processor_is_replaced_and_its_choice_of_kernel_is_kept():
    backbone = tiny_backbone()
    first, second = (block.attn for block in backbone.transformer_blocks)
    other = mock.create_autospec(AttnProcessor, instance=True)
    first.set_processor(other)
    second.processor._attention_backend = "native"
    speed_up_training(backbone)
    assert first.processor is other
    assert isinstance(second.processor, TrainingAttnProcessor)
    assert second.processor._attention_backend == "native"
    assert isinstance(second.processor, FluxAttnProcessor)


@for_each("masked", [None, "attended", "added"])
@for_each("size", [1, 7, 40])
def test_attention_by_products_is_attention(masked, size):
    query, key, value = (noise(3, 2, size, 8, seed=seed).requires_grad_() for seed in range(3))
    mask = None
    if masked is not None:
        mask = torch.arange(size)[None, None, None] < torch.tensor([1, max(size // 2, 1), size])[:, None, None, None]
    if masked == "added":
        mask = noise(3, 1, size, size).masked_fill(~mask, -torch.inf)
    exact = quick.scaled_attention(query, key, value, mask)
    inputs = (query, key, value)
    gradient = noise(*exact.shape, seed=5)
    expected = torch.autograd.grad(exact, inputs, gradient)
    with (
        torch.autocast("cpu", torch.bfloat16),
        mock.patch("torch.nn.functional.scaled_dot_product_attention") as kernel,
    ):
        found = quick.scaled_attention(query, key, value, mask)
    kernel.assert_not_called()
    assert distance(found, exact) < 3 * BF16
    for value, true in zip(torch.autograd.grad(found, inputs, gradient.to(found.dtype)), expected, strict=True):
        torch.testing.assert_close(value, true, rtol=0, atol=6 * BF16 * (1 + float(true.abs().max())))


def test_long_sequences_are_left_to_the_kernel_that_keeps_no_weights(monkeypatch):
    monkeypatch.setattr(quick, "MOST_TOKENS", 8)
    x = noise(1, 1, 9, 8, dtype=torch.bfloat16).requires_grad_()
    with mock.patch("torch.nn.functional.scaled_dot_product_attention", return_value=x) as kernel:
        quick.scaled_attention(x, x, x)
        quick.scaled_attention(x[:, :, :8], x[:, :, :8], x[:, :, :8])
    kernel.assert_called_once()


@for_each("transposed", [False, True], ids=["a whole gradient", "a transposed gradient"])
@for_each("eps", [1e-6, 0.5, None])
def test_norms_and_rotations_in_one_have_the_gradients_of_both(transposed, eps):
    norms = [nn.RMSNorm(8, eps=eps), nn.RMSNorm(8, eps=eps)]
    for seed, norm in enumerate(norms):
        norm.weight.data += noise(8, seed=seed) / 4
    precise = [copy.deepcopy(norm).double() for norm in norms]
    parts = [noise(rows, 3, 8, seed=rows, dtype=torch.bfloat16).requires_grad_() for rows in (2, 5)]
    rotation_JC = torch.polar(torch.ones(7, 4), noise(7, 4))
    gradient = noise(3, 7, 8, dtype=torch.bfloat16).transpose(0, 1) if transposed else noise(7, 3, 8).bfloat16()
    normed = [norm(part.double()) for norm, part in zip(precise, parts, strict=True)]
    exact = rotate(torch.cat(normed), rotation_JC)
    expected = torch.autograd.grad(exact, [*parts, *(norm.weight for norm in precise)], gradient.double())
    found = normed_and_rotated(list(zip(norms, parts, strict=True)), rotation_JC)
    assert found.dtype == torch.bfloat16
    assert distance(found, exact) < BF16
    with torch.autocast("cpu", torch.bfloat16):
        gradients = torch.autograd.grad(found, [*parts, *(norm.weight for norm in norms)], gradient)
    for value, true in zip(gradients, expected, strict=True):
        assert distance(value, true) < BF16


@for_each("dtype", [torch.bfloat16, torch.float32])
def test_a_batch_is_normed_and_rotated_alike(dtype):
    norm = nn.RMSNorm(8, eps=1e-6)
    norm.weight.data += noise(8) / 4
    x = noise(2, 7, 3, 8, dtype=dtype)
    rotation_JC = torch.polar(torch.ones(7, 4), noise(7, 4))
    found = normed_and_rotated_batch(norm, x, rotation_JC)
    assert found.dtype == dtype
    own_BJC = torch.stack([rotation_JC, rotation_JC.conj().resolve_conj()])
    each = normed_and_rotated_batch(norm, x, own_BJC)
    for row, value, turned, own_JC in zip(x, found, each, own_BJC, strict=True):
        normed = norm.double()(row.double())
        assert distance(value, rotate(normed, rotation_JC)) < BF16
        assert distance(turned, rotate(normed, own_JC)) < BF16
        norm.float()
