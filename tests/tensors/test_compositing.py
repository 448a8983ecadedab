"""Composition of instance layers: equal to the loop over pixels, and the laws it obeys.

N instances, T (instance, pixel) pairs, D channels.
"""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from occlusionformer.tensors.compositing import composite, pair_weights, weight_maps
from occlusionformer.tensors.grid import TokenGrid
from tests.properties import examples
from tests.reference import composition
from tests.tables import for_each
from tests.tensors.scenes import (
    CHANNELS,
    RULES,
    Scene,
    batches,
    pack_scenes,
    pairs,
    random_layers,
    scenes,
    twin_composite,
)

EXACT = {"rtol": 0, "atol": 1e-12}
"""fp64, sums of at most a few dozen numbers of order one."""

GRID = TokenGrid(4, 5)
LEFT, RIGHT = (0.02, 0.1, 0.62, 0.9), (0.38, 0.1, 0.97, 0.9)
OVERLAP = 1 * 5 + 2
"""A token inside both boxes."""

by_rule = pytest.mark.parametrize(("rasteriser", "hybrid"), RULES)
few = examples(40)
seeds = st.integers(0, 2**16)


def two(occluders=None, opacities=(1.0, 1.0), boxes=(LEFT, RIGHT)) -> Scene:
    return Scene(grid=GRID, boxes=boxes, occluders=occluders, opacities=opacities)


def blend(scenes_: list[Scene], features: list[Tensor], density_ND: Tensor, rasteriser="area", hybrid="per_pixel"):
    packed = pack_scenes(scenes_, rasteriser, hybrid).to("cpu", density_ND.dtype)
    return composite(pairs(features, packed).to(density_ND.dtype), density_ND, packed)


def shares(scene: Scene, density_ND: Tensor, rasteriser="area", hybrid="per_pixel") -> Tensor:
    """(N, L, D) weights of a single scene."""
    packed = pack_scenes([scene], rasteriser, hybrid)
    dense = torch.zeros(len(scene.boxes), GRID.num_tokens, density_ND.shape[1], dtype=density_ND.dtype)
    dense[packed.owner_T, packed.pixel_T] = pair_weights(density_ND, packed)
    return dense


def constant_density(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None].expand(-1, CHANNELS).contiguous()


@by_rule
@few
@given(batches(), seeds)
def test_blend_is_the_twins(rasteriser, hybrid, scenes_, seed):
    features, density_ND = random_layers(scenes_, seed)
    expected = twin_composite(scenes_, features, density_ND, rasteriser, hybrid)
    torch.testing.assert_close(blend(scenes_, features, density_ND, rasteriser, hybrid), expected, **EXACT)
    single = [layer.float() for layer in features]
    torch.testing.assert_close(blend(scenes_, single, density_ND.float(), rasteriser, hybrid), expected.float())


@by_rule
@few
@given(batches(), seeds, st.sampled_from([1e-3, 20.0]))
def test_blend_is_the_twins_for_thin_and_for_thick_layers(rasteriser, hybrid, scenes_, seed, scale):
    features, density_ND = random_layers(scenes_, seed, scale)
    expected = twin_composite(scenes_, features, density_ND, rasteriser, hybrid)
    torch.testing.assert_close(blend(scenes_, features, density_ND, rasteriser, hybrid), expected, rtol=0, atol=1e-10)


@few
@given(batches(opacity=True), seeds)
def test_blend_with_opacities_is_the_twins(scenes_, seed):
    features, density_ND = random_layers(scenes_, seed)
    expected = twin_composite(scenes_, features, density_ND, "area", "per_pixel")
    actual = blend(scenes_, features, density_ND)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


@by_rule
@examples(15)
@given(batches(), seeds)
def test_gradients_are_the_twins(rasteriser, hybrid, scenes_, seed):
    features, density_ND = random_layers(scenes_, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    leaves = [*features, density_ND]
    grads = []
    for function in (blend, twin_composite):
        for leaf in leaves:
            leaf.requires_grad_().grad = None
        output = function(scenes_, features, density_ND, rasteriser=rasteriser, hybrid=hybrid)
        cotangent = torch.randn(output.shape, generator=generator.manual_seed(seed), dtype=output.dtype)
        if output.requires_grad:
            output.backward(cotangent)
        grads.append([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves])
    for actual, expected in zip(*grads, strict=True):
        assert actual.isfinite().all()
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11)


@by_rule
@for_each("occluders", [((), (0,), (0, 1)), ((2,), (0,), (1,)), ((), (), ())])
def test_gradcheck(rasteriser, hybrid, occluders):
    scene = Scene(TokenGrid(3, 3), (LEFT, RIGHT, (0.2, 0.3, 0.8, 0.7)), occluders, (1.0, 1.0, 1.0))
    packed = pack_scenes([scene], rasteriser, hybrid)
    features, density_ND = random_layers([scene], 0)
    layers_TD = pairs(features, packed).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda layers, density: composite(layers, density, packed), (layers_TD, density_ND.requires_grad_())
    )


@by_rule
@few
@given(scenes(GRID), seeds, st.randoms(use_true_random=False))
def test_renumbering_instances_changes_nothing(rasteriser, hybrid, scene, seed, random):
    features, density_ND = random_layers([scene], seed)
    order = list(range(len(scene.boxes)))
    random.shuffle(order)
    before = blend([scene], features, density_ND, rasteriser, hybrid)
    after = blend([scene.permuted(order)], [features[0][order]], density_ND[order], rasteriser, hybrid)
    torch.testing.assert_close(after, before, **EXACT)


@by_rule
@few
@given(batches(), seeds)
def test_a_batch_is_its_pictures_one_by_one(rasteriser, hybrid, scenes_, seed):
    features, density_ND = random_layers(scenes_, seed)
    together = blend(scenes_, features, density_ND, rasteriser, hybrid)
    alone, first = [], 0
    for scene, layers in zip(scenes_, features, strict=True):
        last = first + len(scene.boxes)
        alone.append(blend([scene], [layers], density_ND[first:last], rasteriser, hybrid))
        first = last
    torch.testing.assert_close(together, torch.cat(alone), **EXACT)


@by_rule
def test_an_opaque_front_hides_what_is_behind(rasteriser, hybrid):
    scene = two(occluders=((), (0,)))
    features, _ = random_layers([scene], 3)
    output = blend([scene], features, constant_density(40.0, 0.7), rasteriser, hybrid)
    torch.testing.assert_close(output[OVERLAP], features[0][0, OVERLAP], rtol=0, atol=1e-9)


@few
@given(st.permutations(range(4)), seeds)
def test_opaque_layers_in_a_total_order_paint_the_nearest(front_to_back, seed):
    boxes = ((0.05, 0.05, 0.7, 0.7), (0.3, 0.1, 0.9, 0.8), (0.2, 0.4, 0.8, 0.95), (0.0, 0.3, 0.95, 0.6))
    rank = {instance: place for place, instance in enumerate(front_to_back)}
    occluders = tuple(tuple(j for j in range(4) if rank[j] < rank[i]) for i in range(4))
    scene = Scene(GRID, boxes, occluders, (1.0,) * 4)
    features, _ = random_layers([scene], seed)
    masks_NL = scene.masks("published")
    output = blend([scene], features, constant_density(*[60.0] * 4), "published", "per_layout")
    checked = 0
    for token in range(GRID.num_tokens):
        full = [i for i in front_to_back if masks_NL[i, token] > 0]
        attended = all(token in scene.footprints("published")[i] for i in full)
        if full and attended and masks_NL[full[0], token] == 1:
            torch.testing.assert_close(output[token], features[0][full[0], token], rtol=0, atol=1e-9)
            checked += len(full) > 1
    assert checked >= 2


def test_disjoint_boxes_commute():
    apart = ((0.02, 0.1, 0.38, 0.9), (0.61, 0.1, 0.97, 0.9))
    features, density_ND = random_layers([two(boxes=apart)], 5)
    outputs = [
        blend([two(occluders=order, boxes=apart)], features, density_ND, *rule)
        for rule in RULES
        for order in (((), (0,)), ((1,), ()), ((), ()))
    ]
    for first in (0, 3):
        for output in outputs[first + 1 : first + 3]:
            torch.testing.assert_close(output, outputs[first], rtol=0, atol=0)


@by_rule
def test_swapping_a_pair_swaps_its_weights(rasteriser, hybrid):
    density_ND = constant_density(1.3, 1.3)
    first, second = (shares(two(occluders=order), density_ND, rasteriser, hybrid) for order in (((), (0,)), ((1,), ())))
    assert (first[0, OVERLAP] > first[1, OVERLAP]).all()
    torch.testing.assert_close(second[0, OVERLAP], first[1, OVERLAP], **EXACT)
    torch.testing.assert_close(second[1, OVERLAP], first[0, OVERLAP], **EXACT)


@by_rule
@few
@given(scenes(GRID), seeds)
def test_weights_are_the_twins_and_sum_to_one(rasteriser, hybrid, scene, seed):
    _, density_ND = random_layers([scene], seed)
    packed = pack_scenes([scene], rasteriser, hybrid)
    weight_TD = pair_weights(density_ND, packed).expand(-1, CHANNELS)
    assert ((weight_TD >= 0) & (weight_TD <= 1 + 1e-12)).all()
    if rasteriser == "published" and scene.occluders is not None:
        share_NLD = composition.normalised_weights(density_ND, scene.masks(rasteriser), scene.order)
        torch.testing.assert_close(weight_TD, share_NLD[packed.owner_T, packed.pixel_T], **EXACT)
    if rasteriser == "area":
        total_PD = torch.zeros(packed.num_pixels, CHANNELS, dtype=torch.float64)
        total_PD.index_add_(0, packed.pixel_T, weight_TD)
        covered = total_PD[packed.pixel_T.unique()]
        torch.testing.assert_close(covered, torch.ones_like(covered), **EXACT)
    torch.testing.assert_close(
        weight_maps(density_ND, packed)[packed.owner_T, packed.pixel_T], weight_TD.mean(1), **EXACT
    )


@by_rule
def test_one_instance_alone_keeps_its_layer_whatever_its_density(rasteriser, hybrid):
    scene = Scene(GRID, (LEFT,), ((),), (1.0,))
    features, _ = random_layers([scene], 1)
    thin, thick = (blend([scene], features, constant_density(d), rasteriser, hybrid) for d in (1e-3, 90.0))
    torch.testing.assert_close(thin, thick, rtol=0, atol=0)
    torch.testing.assert_close(thin[OVERLAP], features[0][0, OVERLAP], **EXACT)


@by_rule
@pytest.mark.parametrize("occluders", [((), (0,)), ((1,), ())])
def test_density_zero_is_absence(rasteriser, hybrid, occluders):
    scene = two(occluders=occluders)
    features, density_ND = random_layers([scene], 7)
    density_ND[0] = 0
    density_ND.requires_grad_()
    output = blend([scene], features, density_ND, rasteriser, hybrid)
    torch.testing.assert_close(output[OVERLAP], features[0][1, OVERLAP], **EXACT)
    output.sum().backward()
    assert density_ND.grad.isfinite().all()


@pytest.mark.parametrize("occluders", [None, ((), ()), ((), (0,)), ((1,), ()), ((1,), (0,))])
def test_opacity_zero_is_absence(occluders):
    scene = two(occluders=occluders, opacities=(0.0, 1.0))
    features, density_ND = random_layers([scene], 9)
    density_ND.requires_grad_()
    alone = Scene(GRID, (RIGHT,), ((),), (1.0,))
    output = blend([scene], features, density_ND)
    expected = blend([alone], [features[0][1:]], density_ND[1:].detach())
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-6)
    if output.requires_grad:
        output.sum().backward()
        assert density_ND.grad.isfinite().all()


def test_opacity_fades_a_lone_instance_in_proportion():
    features, density_ND = random_layers([two()], 2)
    scene = Scene(GRID, (LEFT,), None, (0.25,))
    output = blend([scene], [features[0][:1]], density_ND[:1])
    torch.testing.assert_close(output[OVERLAP], 0.25 * features[0][0, OVERLAP], rtol=0, atol=1e-6)


@few
@given(scenes(GRID, max_instances=4), seeds, st.data())
def test_another_occluder_never_raises_the_rear_weight(scene, seed, data):
    count = len(scene.boxes)
    assume(count >= 2)
    rear = data.draw(st.integers(0, count - 1))
    front = data.draw(st.sampled_from([i for i in range(count) if i != rear]))
    _, density_ND = random_layers([scene], seed)
    order = scene.order
    more = tuple(tuple(sorted({*fronts, front})) if i == rear else tuple(fronts) for i, fronts in enumerate(order))
    without = Scene(GRID, scene.boxes, tuple(map(tuple, order)), scene.opacities)
    added = Scene(GRID, scene.boxes, more, scene.opacities)
    before, after = (shares(s, density_ND, "published", "per_layout")[rear] for s in (without, added))
    assert (after <= before + 1e-12).all()


def test_moving_everything_by_a_token_moves_the_blend_by_a_token():
    grid, step = TokenGrid(8, 8), 1 / 8
    here = ((0.03, 0.05, 0.42, 0.5), (0.2, 0.3, 0.7, 0.66))
    there = tuple(tuple(side + step for side in box) for box in here)
    features, density_ND = random_layers([Scene(grid, here, None, (1.0, 1.0))], 4)
    moved = features[0].reshape(2, 8, 8, CHANNELS).roll((1, 1), (1, 2)).flatten(1, 2)
    for rule in RULES:
        before = blend([Scene(grid, here, ((), (0,)), (1.0, 1.0))], features, density_ND, *rule)
        after = blend([Scene(grid, there, ((), (0,)), (1.0, 1.0))], [moved], density_ND, *rule)
        before, after = before.reshape(8, 8, -1), after.reshape(8, 8, -1)
        torch.testing.assert_close(after[1:, 1:], before[:-1, :-1], **EXACT)
        assert (after[0] == 0).all()


@by_rule
@for_each("occluders", [((2,), (0,), (1,)), ((1,), (0,), ()), ((), (0,), (0, 1))])
@for_each("scale", [1e-6, 1.0, 3.0, 1e4])
@for_each("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_loops_and_chains_stay_finite(rasteriser, hybrid, occluders, scale, dtype):
    scene = Scene(GRID, (LEFT, RIGHT, (0.2, 0.3, 0.8, 0.7)), occluders, (1.0, 1.0, 1.0))
    features, density_ND = random_layers([scene], 0)
    density_ND = (density_ND * scale).clamp(1e-7, 2e4).to(dtype).requires_grad_()
    output = blend([scene], features, density_ND, rasteriser, hybrid)
    assert output.isfinite().all()
    if scale >= 1:  # the gradient grows as 1 / density and honestly leaves fp16's range below that
        output.float().sum().backward()
        assert density_ND.grad.isfinite().all()
    assert (output[OVERLAP] != 0).any()


@by_rule
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_in_a_loop_of_dense_layers_the_least_hidden_is_seen(rasteriser, hybrid, dtype):
    """All weights are below 1e-43 here: only their ratios tell the layers apart."""
    scene = Scene(GRID, (LEFT, RIGHT, (0.2, 0.3, 0.8, 0.7)), ((2,), (0,), (1,)), (1.0, 1.0, 1.0))
    features, _ = random_layers([scene], 12)
    output = blend([scene], features, constant_density(100.0, 130.0, 170.0).to(dtype), rasteriser, hybrid)
    torch.testing.assert_close(output[OVERLAP].double(), features[0][1, OVERLAP], rtol=0, atol=1e-6)


@by_rule
@for_each(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
@for_each("scale", [0.1, 1.0, 30.0])
def test_half_precision_is_near_fp32(rasteriser, hybrid, dtype, tolerance, scale):
    """Tolerance: a few roundings (2^-9, 2^-12) of layers up to 3, sums of three."""
    scene = Scene(GRID, (LEFT, RIGHT, (0.2, 0.3, 0.8, 0.7)), ((), (0,), (0, 1)), (1.0, 1.0, 1.0))
    features, density_ND = random_layers([scene], 11)
    features = [layer.clamp(-3, 3) for layer in features]
    density_ND = (density_ND * scale).to(dtype)
    expected = blend([scene], features, density_ND.float(), rasteriser, hybrid)
    actual = blend([scene], features, density_ND, rasteriser, hybrid)
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.float(), expected, rtol=0, atol=tolerance)


@by_rule
@for_each("occluders", [((), (0,), (0, 1)), ((2,), (0,), (1,))], ids=["an order", "a loop"])
def test_autocast_changes_no_weight(rasteriser, hybrid, occluders):
    """Exponents stay in the precision of the densities."""
    scene = Scene(GRID, (LEFT, RIGHT, (0.2, 0.3, 0.8, 0.7)), occluders, (1.0, 1.0, 1.0))
    features, density_ND = random_layers([scene], 11)
    features, density_ND = [layer.float() for layer in features], density_ND.float()
    expected = blend([scene], features, density_ND, rasteriser, hybrid)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(blend([scene], features, density_ND, rasteriser, hybrid), expected)


def test_no_declared_relation_is_the_plain_mean():
    features, density_ND = random_layers([two()], 6)
    expected = features[0][:, OVERLAP].mean(0)
    for scene in (two(), two(occluders=((), ()))):
        torch.testing.assert_close(blend([scene], features, density_ND)[OVERLAP], expected, **EXACT)
    declared_none = blend([two()], features, density_ND, "published", "per_layout")[OVERLAP]
    torch.testing.assert_close(declared_none, expected, **EXACT)


@by_rule
def test_without_density_layers_are_averaged(rasteriser, hybrid):
    scene = Scene(GRID, (LEFT, RIGHT, (0.2, 0.3, 0.8, 0.7)), None, (1.0, 1.0, 1.0))
    features, _ = random_layers([scene], 6)
    packed = pack_scenes([scene], rasteriser, hybrid)
    output = composite(pairs(features, packed), None, packed)
    expected = composition.blend(features[0], None, scene.cover(rasteriser), hybrid)
    torch.testing.assert_close(output, expected, **EXACT)


@by_rule
def test_uncovered_tokens_stay_zero(rasteriser, hybrid):
    scene = two(occluders=((), (0,)), boxes=((0.25, 0.3, 0.75, 0.7), (0.45, 0.3, 0.75, 0.7)))
    features, density_ND = random_layers([scene], 8)
    output = blend([scene], features, density_ND, rasteriser, hybrid)
    covered = sorted({token for tokens in scene.footprints(rasteriser) for token in tokens})
    bare = [token for token in range(GRID.num_tokens) if token not in covered]
    assert len(bare) >= 10
    assert (output[bare] == 0).all()
    assert output[covered].abs().sum() > 0


def test_a_hundred_instances():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(100, 2, generator=generator, dtype=torch.float64) * 0.7
    size = 0.02 + torch.rand(100, 2, generator=generator, dtype=torch.float64) * 0.28
    boxes = tuple(tuple(row) for row in torch.cat([corner, corner + size], 1).tolist())
    scene = Scene(TokenGrid(3, 3), boxes, tuple(tuple(range(i)) for i in range(100)), (1.0,) * 100)
    features, density_ND = random_layers([scene], 0)
    for rasteriser, hybrid in RULES:
        expected = twin_composite([scene], features, density_ND, rasteriser, hybrid)
        torch.testing.assert_close(blend([scene], features, density_ND, rasteriser, hybrid), expected, **EXACT)
