"""The query similarity map and the cross-entropy that ties mask logits to masks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.tensors.alignment import mask_cross_entropy, query_similarity
from occlusionformer.tensors.grid import TokenGrid
from tests.properties import examples
from tests.reference import heads
from tests.tensors.scenes import CHANNELS, RULES, Scene, batches, pack_scenes, pairs, random_layers

TINY = 1e-12
GRID = TokenGrid(3, 4)
SCENE = Scene(GRID, ((0.02, 0.1, 0.62, 0.9), (0.38, 0.1, 0.97, 0.9)), ((), (0,)), (1.0, 1.0))


def random_queries(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, CHANNELS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("rasteriser", "hybrid"), RULES)
@examples(40)
@given(batches(), st.integers(0, 2**16))
def test_similarity_is_the_twins(rasteriser, hybrid, scenes, seed):
    packed = pack_scenes(scenes, rasteriser, hybrid)
    features, _ = random_layers(scenes, seed)
    query_ND = random_queries(packed.num_instances, seed)
    grid = scenes[0].grid
    similarity = query_similarity(pairs(features, packed), query_ND, packed, eps=TINY)
    assert similarity.shape == (packed.num_instances, 1, grid.height, grid.width)
    instance = 0
    for scene, features_NLD in zip(scenes, features, strict=True):
        cover = scene.cover(rasteriser)
        for features_LD, tokens, mask_L in zip(features_NLD, cover.footprints, cover.masks, strict=True):
            inside_L1 = torch.zeros(grid.num_tokens, 1, dtype=torch.float64)
            inside_L1[tokens] = 1
            expected = heads.similarity(features_LD * inside_L1, query_ND[instance], mask_L)
            torch.testing.assert_close(similarity[instance].flatten(), expected, rtol=0, atol=1e-12)
            instance += 1


def test_similarity_is_bounded_and_ignores_the_length_of_both():
    packed = pack_scenes([SCENE])
    features, _ = random_layers([SCENE], 0)
    layers_TD, query_ND = pairs(features, packed), random_queries(2, 1)
    one = query_similarity(layers_TD, query_ND, packed, eps=TINY)
    two = query_similarity(layers_TD * 7, query_ND * 0.01, packed, eps=TINY)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    assert one.abs().max() <= 1 + 1e-12


def test_a_layer_that_is_its_query_has_its_coverage_as_similarity():
    packed = pack_scenes([SCENE])
    query_ND = random_queries(2, 1)
    similarity = query_similarity(query_ND[packed.owner_T], query_ND, packed, eps=TINY).flatten(1)
    torch.testing.assert_close(similarity[packed.owner_T, packed.pixel_T], packed.coverage_T, rtol=0, atol=1e-12)


def test_zero_layers_have_similarity_zero_and_a_finite_gradient():
    packed = pack_scenes([SCENE])
    layers_TD = torch.zeros(len(packed.owner_T), CHANNELS, dtype=torch.float64, requires_grad=True)
    similarity = query_similarity(layers_TD, random_queries(2, 1), packed, eps=1e-3)
    similarity.sum().backward()
    assert (similarity == 0).all()
    assert layers_TD.grad.isfinite().all()
    assert layers_TD.grad.abs().max() <= 1e3


@pytest.mark.parametrize("rasteriser", ["area", "published"])
def test_similarity_gradcheck(rasteriser):
    packed = pack_scenes([SCENE], rasteriser)
    features, _ = random_layers([SCENE], 2)
    inputs = (pairs(features, packed).requires_grad_(), random_queries(2, 3).requires_grad_())
    assert torch.autograd.gradcheck(lambda layers, query: query_similarity(layers, query, packed, eps=1e-6), inputs)


@examples(20)
@given(st.integers(0, 2**16))
def test_cross_entropy_is_the_binary_one_of_the_logit_difference(seed):
    generator = torch.Generator().manual_seed(seed)
    logits_NL2 = 5 * torch.randn(3, 7, 2, generator=generator)
    mask_NL = torch.rand(3, 7, generator=generator)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits_NL2[..., 1] - logits_NL2[..., 0], mask_NL, reduction="none"
    )
    torch.testing.assert_close(mask_cross_entropy(logits_NL2, mask_NL), expected)


def test_cross_entropy_gradcheck():
    logits_NL2 = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask_NL = torch.rand(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: mask_cross_entropy(logits, mask_NL), logits_NL2.requires_grad_())


def test_cross_entropy_in_half_precision_is_finite_for_extreme_logits():
    logits_NL2 = torch.tensor([[[6e4, -6e4], [-6e4, 6e4]]], dtype=torch.float16)
    assert mask_cross_entropy(logits_NL2, torch.tensor([[0.0, 1.0]])).tolist() == [[0.0, 0.0]]
    assert mask_cross_entropy(logits_NL2, torch.tensor([[1.0, 0.0]])).isfinite().all()
