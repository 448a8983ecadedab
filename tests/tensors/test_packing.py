"""A batch of layouts as index tensors: complete, without duplicates, block-diagonal."""

from dataclasses import fields

import pytest
import torch
from hypothesis import given

from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.tensors.packing import PackedInstances, pack
from tests.tensors.scenes import RULES, Scene, batches, geometry, pack_scenes

GRID = TokenGrid(4, 5)
WHOLE, CORNER, SPECK = (0.01, 0.01, 0.99, 0.99), (0.02, 0.03, 0.45, 0.55), (0.71, 0.61, 0.72, 0.62)


def scene(*boxes, occluders=None) -> Scene:
    return Scene(grid=GRID, boxes=boxes, occluders=occluders, opacities=(1.0,) * len(boxes))


def bucket_pairs(packed: PackedInstances) -> list[tuple[int, int]]:
    """(instance, row) of every real place in the attention buckets, in the order in which pairs come out."""
    found = []
    for bucket in packed.buckets:
        rows_nQ = bucket.query_nQ[:, 1:] - packed.num_instances
        owner_nQ = bucket.instance_n[:, None].expand_as(rows_nQ)
        flat = torch.stack([owner_nQ, rows_nQ], -1)
        whole = torch.cat([torch.full((len(flat), 1, 2), -1), flat], 1)
        found += whole.flatten(0, 1)[bucket.kept_t].tolist()
    return [tuple(pair) for pair in found]


def attended(packed: PackedInstances) -> list[tuple[int, int]]:
    """(instance, pixel) of every image token that attends."""
    found = []
    for bucket in packed.buckets:
        pixel_nS = packed.pixel_R[bucket.source_nS[:, 1:] - packed.num_instances]
        real_nS = torch.ones_like(pixel_nS, dtype=torch.bool) if bucket.valid_nS is None else bucket.valid_nS[:, 1:]
        owner_nS = bucket.instance_n[:, None].expand_as(pixel_nS)
        found += zip(owner_nS[real_nS].tolist(), pixel_nS[real_nS].tolist(), strict=True)
    return found


@pytest.mark.parametrize(("rasteriser", "hybrid"), RULES)
@given(batches())
def test_pairs_are_exactly_the_covered_tokens(rasteriser, hybrid, scenes):
    packed = pack_scenes(scenes, rasteriser, hybrid)
    tokens = scenes[0].grid.num_tokens
    expected, first = set(), 0
    for sample, one in enumerate(scenes):
        for instance, covered in enumerate(one.footprints(rasteriser)):
            expected |= {(first + instance, sample * tokens + token) for token in covered}
        first += len(one.boxes)
    found = attended(packed)
    assert len(found) == len(set(found))
    assert set(found) == expected
    pairs = list(zip(packed.owner_T.tolist(), packed.pixel_T.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    coverage_NP = torch.block_diag(*[geometry(one, rasteriser).coverage_KL for one in scenes])
    assert (packed.coverage_T == coverage_NP[packed.owner_T, packed.pixel_T]).all()
    assert all(coverage_NP[pair] == 0 for pair in expected - set(pairs))
    assert set(pairs) >= {pair for pair in expected if coverage_NP[pair] > 0}
    assert packed.sample_N.tolist() == [s for s, one in enumerate(scenes) for _ in one.boxes]


@given(batches())
def test_buckets_hold_every_pair_once_in_the_order_of_the_pairs(scenes):
    packed = pack_scenes(scenes)
    assert packed.pixel_R[packed.row_T].tolist() == packed.pixel_T.tolist()
    assert bucket_pairs(packed) == list(zip(packed.owner_T.tolist(), packed.row_T.tolist(), strict=True))
    layout_order = [i for bucket in packed.buckets for i in bucket.instance_n.tolist()]
    assert [layout_order[slot] for slot in packed.layout_slot_N.tolist()] == list(range(packed.num_instances))
    for bucket in packed.buckets:
        assert bucket.source_nS[:, 0].tolist() == bucket.instance_n.tolist()
        assert bucket.query_nQ[:, 0].tolist() == bucket.instance_n.tolist()
        if bucket.valid_nS is not None:
            assert bucket.valid_nS[:, 0].all()
        padding_nQ = torch.ones_like(bucket.query_nQ, dtype=torch.bool)
        padding_nQ.view(-1)[bucket.kept_t] = False
        assert (bucket.query_nQ == bucket.instance_n[:, None])[padding_nQ].all()
        assert bucket.query_nQ.shape[1] == 1 + max(packed.owner_T.tolist().count(i) for i in bucket.instance_n.tolist())


def test_rows_of_their_own_for_every_pair_when_rows_are_not_shared():
    packed = pack([geometry(scene(WHOLE, CORNER), "area")], GRID, share_rows=False)
    assert packed.owner_R is not None
    assert packed.owner_R.tolist() == packed.owner_T.tolist()
    assert packed.pixel_R.tolist() == packed.pixel_T.tolist()
    assert packed.row_T.tolist() == list(range(len(packed.pixel_T)))


def test_a_speck_has_one_token():
    packed = pack_scenes([scene(SPECK)])
    assert packed.pixel_T.tolist() == [2 * 5 + 3]


def test_a_sample_without_instances_has_no_pairs():
    packed = pack_scenes([scene(CORNER), scene(), scene(SPECK)])
    assert packed.num_samples == 3
    assert packed.sample_N.tolist() == [0, 2]
    assert not ((packed.pixel_T >= 20) & (packed.pixel_T < 40)).any()


def test_a_batch_without_any_instance_packs():
    packed = pack_scenes([scene(), scene()])
    assert packed.num_instances == 0
    assert packed.pixel_T.numel() == 0
    assert packed.buckets == ()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_moving_to_a_dtype_leaves_indices_alone_and_geometry_exact(dtype):
    packed = pack_scenes([scene(WHOLE, CORNER, occluders=((1,), ()))])
    half = packed.to("cpu", dtype)
    for field in fields(packed):
        before, after = getattr(packed, field.name), getattr(half, field.name)
        if isinstance(before, torch.Tensor) and before.is_floating_point():
            torch.testing.assert_close(after.double(), before, rtol=1e-6, atol=0)
        elif isinstance(before, torch.Tensor):
            assert torch.equal(before, after)
            assert before.dtype == after.dtype
