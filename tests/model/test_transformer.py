"""The whole model: equal to the twin, the backbone where no layout acts, and the laws of layouts and batches."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from occlusionformer.model import BranchConfig, OcclusionBranch, backbone_shape, paper
from occlusionformer.tensors.grid import TokenGrid
from tests.model.tiny import (
    BOXES,
    CHAIN,
    EMPTY,
    GRID,
    LOOP,
    Model,
    Output,
    Picture,
    cast,
    only,
    prepare,
    presets,
    random_inputs,
    random_texts,
    run_backbone,
    tiny_backbone,
    tiny_branch,
    twin_inputs,
    twin_layout,
    twin_weights,
)
from tests.reference.model import forward
from tests.tables import for_each

ROUNDED = {"rtol": 1e-6, "atol": 1e-5}
"""fp64, but the stock blocks turn queries and keys in fp32: two roundings of 6e-8 in four blocks, values up to 30."""

PRESETS = presets()
by_preset = pytest.mark.parametrize("preset", list(PRESETS))
SPECK = (0.71, 0.61, 0.72, 0.62)


def model(preset: str, dtype: torch.dtype = torch.float64, **backbone) -> Model:
    return Model(tiny_backbone(**backbone), tiny_branch(PRESETS[preset][0])).to(dtype)


@torch.no_grad()
def run(flux: Model, pictures: list[Picture] | None, *, grid: TokenGrid = GRID, **options) -> Output:
    """One forward over random inputs, masks and weights asked for; pictures None: no layout."""
    dtype = flux.backbone.dtype
    guidance = flux.backbone.config.guidance_embeds
    inputs = cast(random_inputs(len(pictures or [0]), grid, guidance=guidance), dtype)
    condition = None
    if pictures is not None:
        condition = prepare(pictures, random_texts(pictures), flux.adapter.shape, grid=grid, dtype=dtype)
    return flux(inputs, condition, return_masks=True, return_weights=True, **options)


@by_preset
@for_each("picture", [Picture(), Picture(occluders=LOOP), Picture(occluders=None)])
@for_each("guidance", [True, False], ids=["guided", "unguided"])
def test_forward_is_the_twins(preset, picture, guidance):
    flux = model(preset, guidance_embeds=guidance)
    layout = twin_layout(picture, random_texts([picture]), PRESETS[preset][1])
    inputs = twin_inputs(random_inputs(1, guidance=guidance))
    with torch.no_grad():
        sample, masks = forward(flux.backbone, twin_weights(flux.backbone, flux.adapter), inputs, layout)
    output = run(flux, [picture])
    torch.testing.assert_close(output.sample, sample, **ROUNDED)
    for actual, expected in zip(output.mask_logits, masks, strict=True):
        torch.testing.assert_close(actual, expected, **ROUNDED)
    single = run(model(preset, torch.float32, guidance_embeds=guidance), [picture])
    torch.testing.assert_close(single.sample, sample.float(), rtol=1e-4, atol=1e-4)


@by_preset
@for_each("dtype", [torch.float32, torch.bfloat16])
def test_no_layout_and_no_strength_are_the_backbone_bit_for_bit(preset, dtype):
    flux = model(preset, dtype)
    inputs = cast(random_inputs(1), dtype)
    with torch.no_grad():
        expected = run_backbone(flux.backbone, inputs)
        stock = run_backbone(tiny_backbone().to(dtype), inputs)
    assert torch.equal(expected, stock)
    for _ in range(2):
        for nothing in (run(flux, None), run(flux, [Picture()], strength=0.0), run(flux, [EMPTY])):
            assert torch.equal(nothing.sample, expected)
        assert not torch.equal(run(flux, [Picture()]).sample, expected)


@by_preset
def test_a_second_call_gives_the_same_bits(preset):
    flux = model(preset, torch.float32)
    first, second = (run(flux, [Picture(), Picture(occluders=LOOP)]) for _ in range(2))
    assert torch.equal(first.sample, second.sample)
    for a, b in zip((*first.mask_logits, *first.weights), (*second.mask_logits, *second.weights), strict=True):
        assert torch.equal(a, b)


@by_preset
def test_a_call_leaves_the_backbone_as_it_was(preset):
    flux = model(preset, torch.float32)
    before = {name: value.clone() for name, value in flux.backbone.state_dict().items()}
    run(flux, [Picture()])
    assert all(torch.equal(value, before[name]) for name, value in flux.backbone.state_dict().items())
    for module in flux.backbone.modules():
        assert "forward" not in vars(module)
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@by_preset
def test_a_batch_of_different_layouts_is_its_pictures_one_by_one(preset):
    flux = model(preset)
    pictures = [Picture(), EMPTY, Picture(boxes=(SPECK, *BOXES[:1]), occluders=None), Picture(occluders=LOOP)]
    together = run(flux, pictures)
    texts_NP, inputs, first = random_texts(pictures), random_inputs(len(pictures)), 0
    for sample, picture in enumerate(pictures):
        last = first + len(picture.boxes)
        with torch.no_grad():
            alone = flux(
                only(inputs, sample),
                prepare([picture], texts_NP[first:last], flux.adapter.shape),
                return_masks=True,
                return_weights=True,
            )
        torch.testing.assert_close(together.sample[sample : sample + 1], alone.sample, **ROUNDED)
        for of_batch, of_one in zip(together.mask_logits, alone.mask_logits or (), strict=False):
            torch.testing.assert_close(of_batch[first:last], of_one, **ROUNDED)
        for of_batch, of_one in zip(together.weights, alone.weights or (), strict=False):
            torch.testing.assert_close(of_batch[first:last], of_one, **ROUNDED)
        first = last


@by_preset
def test_a_picture_without_instances_is_the_backbone_in_any_batch(preset):
    flux = model(preset)
    together = run(flux, [Picture(), EMPTY]).sample[1:]
    with torch.no_grad():
        alone = run_backbone(flux.backbone, only(random_inputs(2), 1))
    torch.testing.assert_close(together, alone, **ROUNDED)


@by_preset
@settings(deadline=None, max_examples=6)
@given(st.permutations(range(3)), st.sampled_from([CHAIN, LOOP, None]))
def test_renumbering_instances_changes_nothing(preset, order, occluders):
    flux = model(preset)
    place = {old: new for new, old in enumerate(order)}
    moved = occluders and tuple(tuple(place[front] for front in occluders[old]) for old in order)
    before, after = Picture(occluders=occluders), Picture(tuple(BOXES[old] for old in order), moved)
    texts_NP, inputs = random_texts([before]), random_inputs(1)
    with torch.no_grad():
        one = flux(inputs, prepare([before], texts_NP, flux.adapter.shape), return_masks=True, return_weights=True)
        two = flux(
            inputs, prepare([after], texts_NP[order], flux.adapter.shape), return_masks=True, return_weights=True
        )
    torch.testing.assert_close(two.sample, one.sample, **ROUNDED)
    for a, b in zip((*two.mask_logits, *two.weights), (*one.mask_logits, *one.weights), strict=True):
        torch.testing.assert_close(a, b[order], **ROUNDED)


@pytest.mark.parametrize("preset", ["published", "paper", "small"])
def test_the_order_matters_where_boxes_overlap_and_nowhere_else(preset):
    flux = model(preset)
    overlapping = [run(flux, [Picture(BOXES[:2], order)]).sample for order in (((), (0,)), ((1,), ()))]
    assert (overlapping[0] - overlapping[1]).abs().max() > 1e-3
    apart = ((0.03, 0.05, 0.3, 0.71), (0.55, 0.27, 0.93, 0.96))
    disjoint = [run(flux, [Picture(apart, order)]).sample for order in (((), (0,)), ((1,), ()), ((), ()))]
    for other in disjoint[1:]:
        torch.testing.assert_close(other, disjoint[0], **ROUNDED)


@pytest.mark.parametrize("preset", ["published", "paper", "small"])
def test_weights_follow_the_order(preset):
    flux, token = model(preset), GRID.width + 2
    for front, behind, order in ((0, 1, ((), (0,))), (1, 0, ((1,), ()))):
        for weight_NL in run(flux, [Picture(BOXES[:2], order)]).weights:
            assert weight_NL[front, token] > weight_NL[behind, token]
            assert weight_NL.min() >= 0
            assert weight_NL.max() <= 1 + 1e-6
            assert weight_NL.sum(0).max() <= 1 + 1e-6


@for_each("preset", ["published", "paper", "small"])
@for_each("bias", [-9.0, 0.0, 9.0, 2000.0])
@for_each("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_loops_stay_finite_at_any_density(preset, bias, dtype):
    flux = model(preset)
    with torch.no_grad():
        for block in (*flux.adapter.dual.values(), *flux.adapter.single.values()):
            block.density.linear.bias.fill_(bias)
    output = run(flux.to(dtype), [Picture(occluders=LOOP)])
    assert output.sample.isfinite().all()
    assert all(weight.isfinite().all() for weight in output.weights)


@by_preset
@for_each(("dtype", "bound"), [(torch.bfloat16, 0.015), (torch.float16, 0.002)])
def test_half_precision_is_finite_and_near_fp32(preset, dtype, bound):
    """Bounds are twice the worst seen; the backbone alone has 0.0046 and 0.0007.

    Time and guidances are such that a thousand times each is exact.
    """
    config = replace(PRESETS[preset][0], layout_guidance=8.0)
    flux = Model(tiny_backbone(), tiny_branch(config)).to(dtype)
    pictures = [Picture(), Picture(occluders=None)]
    times = {"timestep": torch.full((2,), 0.5), "guidance": torch.full((2,), 2.0)}
    inputs = cast(replace(random_inputs(2), **times), dtype)
    texts_NP = random_texts(pictures).to(dtype)
    found = []
    for precision in (dtype, torch.float32):
        flux.to(precision)
        condition = prepare(pictures, texts_NP, config, dtype=precision)
        with torch.no_grad():
            output = flux(cast(inputs, precision), condition, return_masks=True)
            found.append((output.sample, *output.mask_logits))
    for half, full in zip(*found, strict=True):
        assert half.dtype == dtype
        assert half.isfinite().all()
        assert (half.float() - full).norm() < bound * full.norm()


@by_preset
def test_gradients_reach_every_weight_of_the_branch(preset):
    flux = model(preset)
    condition = prepare([Picture(), Picture(occluders=LOOP)], random_texts([Picture()] * 2), flux.adapter.shape)
    output = flux(random_inputs(2), condition, return_masks=True)
    loss = output.sample.square().mean() + sum(masks.square().mean() for masks in output.mask_logits)
    loss.backward()
    for name, parameter in flux.adapter.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@by_preset
def test_checkpointed_gradients_are_the_plain_ones(preset):
    flux = model(preset)
    condition = prepare([Picture()], random_texts([Picture()]), flux.adapter.shape)
    found = []
    for checkpointed in (False, True):
        if checkpointed:
            flux.backbone.enable_gradient_checkpointing()
        output = flux(random_inputs(1), condition, return_masks=True)
        loss = output.sample.square().mean() + sum(masks.square().mean() for masks in output.mask_logits)
        found.append(torch.autograd.grad(loss, list(flux.adapter.parameters())))
    for plain, recomputed in zip(*found, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_a_new_branch_of_ours_is_the_identity(preset):
    flux = Model(tiny_backbone(), OcclusionBranch.build(PRESETS[preset][0])).eval()
    torch.testing.assert_close(run(flux, [Picture()]).sample, run(flux, None).sample, rtol=0, atol=1e-4)


def test_a_new_branch_of_the_published_kind_is_not_since_its_feed_forward_runs_twice():
    flux = Model(tiny_backbone(), OcclusionBranch.build(PRESETS["published"][0])).eval()
    assert (run(flux, [Picture()]).sample - run(flux, None).sample).abs().max() > 1e-2


@for_each("grid", [TokenGrid(1, 1), TokenGrid(1, 7), TokenGrid(9, 2)], ids=str)
@by_preset
def test_any_canvas_works(preset, grid):
    flux = model(preset)
    picture = Picture()
    layout = twin_layout(picture, random_texts([picture]), PRESETS[preset][1], grid)
    inputs = twin_inputs(random_inputs(1, grid))
    with torch.no_grad():
        sample, _ = forward(flux.backbone, twin_weights(flux.backbone, flux.adapter), inputs, layout)
    torch.testing.assert_close(run(flux, [picture], grid=grid).sample, sample, **ROUNDED)


@by_preset
def test_a_hundred_instances(preset):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(100, 2, generator=generator, dtype=torch.float64) * 0.7
    size = 0.02 + torch.rand(100, 2, generator=generator, dtype=torch.float64) * 0.28
    boxes = tuple(tuple(row) for row in torch.cat([corner, corner + size], 1).tolist())
    picture = Picture(boxes, tuple(tuple(range(i)) for i in range(100)))
    output = run(model(preset), [picture])
    assert output.sample.isfinite().all()
    assert [tuple(weight.shape) for weight in output.weights] == [(100, GRID.num_tokens)] * 2
    half = run(model(preset, torch.bfloat16), [picture, EMPTY])
    assert half.sample.isfinite().all()


@by_preset
def test_outputs_come_only_when_asked_for(preset):
    flux = model(preset)
    condition = prepare([Picture()], random_texts([Picture()]), flux.adapter.shape)
    with torch.no_grad():
        bare = flux(random_inputs(1), condition)
        full = flux(random_inputs(1), condition, return_masks=True, return_weights=True)
    assert bare.mask_logits is None
    assert bare.weights is None
    assert torch.equal(bare.sample, full.sample)
    has_masks = flux.adapter.shape.mask_head
    assert [tuple(m.shape) for m in full.mask_logits] == [(3, GRID.num_tokens, 2)] * (2 if has_masks else 0)
    assert [tuple(w.shape) for w in full.weights] == [(3, GRID.num_tokens)] * 2


def test_control_residuals_land_where_the_backbone_puts_them():
    config: BranchConfig = paper(backbone_shape(tiny_backbone()))
    flux = Model(tiny_backbone(), OcclusionBranch.build(config)).double().eval()
    generator = torch.Generator().manual_seed(8)

    def residuals(count: int) -> tuple[Tensor, ...]:
        shape = (1, GRID.num_tokens, config.width)
        return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count))

    condition = prepare([Picture()], random_texts([Picture()]), config)
    for dual, single in ((2, 2), (1, 2), (2, 1)):
        inputs = replace(
            random_inputs(1),
            controlnet_block_samples=residuals(dual),
            controlnet_single_block_samples=residuals(single),
        )
        with torch.no_grad():
            torch.testing.assert_close(flux(inputs, condition).sample, run_backbone(flux.backbone, inputs), **ROUNDED)


@pytest.mark.parametrize("boxes", [BOXES, (*BOXES, (0.0, 0.0, 1.0, 1.0), (0.05, 0.0, 1.0, 1.0))])
def test_a_lora_of_the_users_acts_on_the_backbone_as_if_fused(boxes):
    """A wrapped layer is called, a plain one may be read: both ways must see the user's LoRA."""
    from peft import LoraConfig

    flux = model("published", torch.float32)
    targets = ["to_q", "to_out.0", "proj_out", "proj_mlp", "ff.net.2", "norm1.linear", "add_k_proj"]
    flux.backbone.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False))
    picture = Picture(boxes, tuple(tuple(range(i)) for i in range(len(boxes))))
    inputs = cast(random_inputs(1), torch.float32)
    condition = prepare([picture], random_texts([picture]), flux.adapter.shape, dtype=torch.float32)
    with torch.no_grad():
        wrapped = flux(inputs, condition).sample
        silent = flux(replace(inputs, joint_attention_kwargs={"scale": 0.0}), condition).sample
        again = flux(inputs, condition).sample
        plain = model("published", torch.float32)(inputs, condition).sample
        flux.backbone.fuse_lora()
        flux.backbone.unload_lora()
        fused = flux(inputs, condition).sample
    assert (wrapped - plain).abs().max() > 1e-2
    torch.testing.assert_close(fused, wrapped, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(silent, plain, rtol=1e-4, atol=1e-4)
    assert torch.equal(again, wrapped)
