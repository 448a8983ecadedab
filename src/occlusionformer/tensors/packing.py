"""The instance tokens of a whole batch as index tensors, built once per request and reused by every block and step.

Legend: B samples, K instances of one sample, N instances of the batch, L tokens of one image, P = B * L pixels of
the batch, T (instance, pixel) pairs, R rows whose projections are computed, G pairs that carry weight but no feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.tensors.grid import (
    TokenGrid,
    area_coverage,
    published_footprint,
    published_soft_mask,
    region_coverage,
)

Rasteriser = Literal["area", "published"]
Hybrid = Literal["per_pixel", "per_layout", "mean"]

MIN_COVERAGE = 1 / 64
"""A token whose cell is covered less than this is not an instance's token: 4 of the 256 pixels of a cell."""

CHUNK_TOKENS = 2304
"""Padded tokens in one attention bucket: bounds memory, fills the matrix units, and stays in a processor's cache
(measured on the CPU: 4% faster in all than 4096)."""

SIZE_SLACK = 0.75
"""Instances share a bucket while the smallest has at least this share of the largest's tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceGeometry:
    """Geometry of one layout: the tokens of its instances, and which is in front of which.

    box_K4: normalised xyxy; attends_KL: tokens an instance attends to; coverage_KL: its share (0..1) of each token
    when layers are composited; in_front_KK[i, j]: j is declared in front of i; opacity_K: 0..1;
    ordered: an order was declared at all.
    """

    box_K4: Tensor
    attends_KL: Tensor
    coverage_KL: Tensor
    in_front_KK: Tensor
    opacity_K: Tensor
    ordered: bool


def layout_geometry(layout: Layout, grid: TokenGrid, rasteriser: Rasteriser) -> InstanceGeometry:
    """Rasterise one layout; the order comes from `layout.zorder` (None: no order declared)."""
    count = len(layout.instances)
    corners = [(i.box.x1, i.box.y1, i.box.x2, i.box.y2) for i in layout.instances]
    box_K4 = torch.tensor(corners, dtype=torch.float64).reshape(count, 4)
    area_KL = area_coverage(box_K4, grid)
    for index, instance in enumerate(layout.instances):
        if instance.region is not None:
            area_KL[index] = torch.minimum(area_KL[index], region_coverage(instance.region, grid))
    if rasteriser == "area":
        attends_KL = _at_least_one(area_KL)
        coverage_KL = torch.where(attends_KL, area_KL.clamp_min(MIN_COVERAGE), 0.0)
    else:
        attends_KL = published_footprint(box_K4, grid)
        coverage_KL = published_soft_mask(box_K4, grid)
        for index, instance in enumerate(layout.instances):
            if instance.region is not None:
                attends_KL[index] &= _at_least_one(area_KL[index : index + 1])[0]
                coverage_KL[index] = torch.minimum(coverage_KL[index], area_KL[index])
    in_front_KK = torch.zeros(count, count, dtype=torch.bool)
    zorder = layout.zorder
    if zorder is not None and zorder.edges:
        front, behind = torch.tensor(sorted(zorder.edges)).unbind(1)
        in_front_KK[behind, front] = True
    return InstanceGeometry(
        box_K4=box_K4,
        attends_KL=attends_KL,
        coverage_KL=coverage_KL,
        in_front_KK=in_front_KK,
        opacity_K=torch.tensor([i.opacity for i in layout.instances], dtype=torch.float64).reshape(count),
        ordered=zorder is not None,
    )


def empty_geometry(grid: TokenGrid) -> InstanceGeometry:
    """The geometry of a picture without instances."""
    return InstanceGeometry(
        box_K4=torch.zeros(0, 4, dtype=torch.float64),
        attends_KL=torch.zeros(0, grid.num_tokens, dtype=torch.bool),
        coverage_KL=torch.zeros(0, grid.num_tokens, dtype=torch.float64),
        in_front_KK=torch.zeros(0, 0, dtype=torch.bool),
        opacity_K=torch.zeros(0, dtype=torch.float64),
        ordered=False,
    )


def _at_least_one(area_KL: Tensor) -> Tensor:
    attends_KL = area_KL >= MIN_COVERAGE
    if area_KL.shape[0]:
        best_K = area_KL.argmax(1)
        attends_KL[torch.arange(area_KL.shape[0]), best_K] = True
    return attends_KL


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionBucket:
    """Instances of similar size that attend together; their pairs are consecutive.

    pairs: where its pairs stand among all; instance_n: which instances; source_nS: index into the stacked
    [layout tokens (N); rows (R)], column 0 being the layout token; valid_nS: False on padding, None when nothing is
    padded; query_nQ: those of the source whose output is of use, the layout token and the pairs, padded with the
    former; kept_t: flat positions in (n, Q) of the pairs.
    """

    pairs: slice
    instance_n: Tensor
    source_nS: Tensor
    valid_nS: Tensor | None
    query_nQ: Tensor
    kept_t: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedInstances:
    """Index tensors of a batch of layouts. Batch size and number of instances are not special cases.

    A pair is an instance and a pixel to which it contributes. A token that is attended but carries no weight (coverage
    0) has a row, for others attend to it, and no pair.
    """

    grid: TokenGrid
    num_samples: int
    num_instances: int
    sample_N: Tensor
    box_N4: Tensor
    opacity_N: Tensor | None
    """None when every instance is fully opaque."""
    owner_T: Tensor
    pixel_T: Tensor
    coverage_T: Tensor
    row_T: Tensor
    depth_TM: Tensor
    """Optical depth of a pair is depth_TM @ [density; 1]: how much (0..1) of each instance lies in front of it at its
    pixel, and last -log(coverage), M = N + 1."""
    plain_T: Tensor
    """Weight of the pair where layers are averaged instead of rendered."""
    rendered_T: Tensor
    pixel_R: Tensor
    owner_R: Tensor | None
    """None when rows are shared by the instances that cover a pixel."""
    ghost_owner_G: Tensor
    ghost_pixel_G: Tensor
    ghost_depth_GM: Tensor
    buckets: tuple[AttentionBucket, ...]
    layout_slot_N: Tensor
    """Where each instance's layout token stands in the buckets' outputs, concatenated."""
    rendering: Literal["all", "none", "mixed"]
    overlapping: bool
    """Some pixel is covered by two instances; otherwise a layer needs no compositing at all."""
    cyclic: bool
    """Some order loops; otherwise the instance in front at a pixel is not attenuated and no weight sum underflows."""

    @property
    def populated_B(self) -> Tensor:
        """(B,) bool: samples that have an instance."""
        populated = torch.zeros(self.num_samples, dtype=torch.bool, device=self.sample_N.device)
        return populated.index_fill(0, self.sample_N, True)

    @property
    def num_pixels(self) -> int:
        return self.num_samples * self.grid.num_tokens

    @property
    def sample_R(self) -> Tensor:
        return torch.div(self.pixel_R, self.grid.num_tokens, rounding_mode="floor")

    def to(self, device: torch.device | str, dtype: torch.dtype) -> PackedInstances:
        """Move every index to `device`; geometry (coverage, boxes, order) becomes fp32, or `dtype` if that is finer."""
        dtype = torch.promote_types(dtype, torch.float32)
        changes: dict[str, Any] = {f.name: _moved(getattr(self, f.name), device, dtype) for f in fields(self)}
        return replace(self, **changes)


def _moved(value: Any, device: torch.device | str, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
    if isinstance(value, tuple):
        return tuple(_moved(item, device, dtype) for item in value)
    if isinstance(value, AttentionBucket):
        return replace(value, **{f.name: _moved(getattr(value, f.name), device, dtype) for f in fields(value)})
    return value


def pack(
    samples: Sequence[InstanceGeometry], grid: TokenGrid, *, hybrid: Hybrid = "per_pixel", share_rows: bool = True
) -> PackedInstances:
    """Index tensors of a batch, on the CPU in float64; `.to(device, dtype)` moves them.

    hybrid says where layers are rendered by the order and where they are averaged: "per_pixel" renders the pixels at
    which some covering pair has a declared order (the paper), "per_layout" renders all pixels of a layout that declares
    any order (the published code), "mean" always averages. share_rows: projections are computed once per covered
    pixel rather than once per pair.
    """
    joined = _join(samples, grid)
    attends_NP, coverage_NP = joined.attends_NP, joined.coverage_NP
    order_N, sizes_N = _by_size(attends_NP)
    rank, pixel_A = attends_NP[order_N].nonzero(as_tuple=True)
    owner_A = order_N[rank]
    pixel_R, row_A = pixel_A.unique(return_inverse=True) if share_rows else (pixel_A, torch.arange(len(pixel_A)))
    rendered_P = _rendered_pixels(joined, hybrid)
    weighty_A = (coverage_NP[owner_A, pixel_A] > 0) | ~rendered_P[pixel_A]
    owner_T, pixel_T = owner_A[weighty_A], pixel_A[weighty_A]
    rendered_T = rendered_P[pixel_T]
    ghost_owner_G, ghost_pixel_G = ((coverage_NP > 0) & ~attends_NP & rendered_P).nonzero(as_tuple=True)
    coverage_T = coverage_NP[owner_T, pixel_T]
    plain_T = torch.ones_like(coverage_T) if hybrid != "per_pixel" else coverage_T
    return PackedInstances(
        grid=grid,
        num_samples=len(samples),
        num_instances=len(order_N),
        sample_N=joined.sample_N,
        box_N4=joined.box_N4,
        opacity_N=None if bool((joined.opacity_N == 1).all()) else joined.opacity_N,
        owner_T=owner_T,
        pixel_T=pixel_T,
        coverage_T=coverage_T,
        row_T=row_A[weighty_A],
        depth_TM=_depth(joined, owner_T, pixel_T),
        plain_T=plain_T,
        rendered_T=rendered_T,
        pixel_R=pixel_R,
        owner_R=None if share_rows else owner_A,
        ghost_owner_G=ghost_owner_G,
        ghost_pixel_G=ghost_pixel_G,
        ghost_depth_GM=_depth(joined, ghost_owner_G, ghost_pixel_G),
        buckets=_buckets(order_N, sizes_N, row_A, weighty_A),
        layout_slot_N=torch.argsort(order_N),
        rendering=_rendering(rendered_T),
        overlapping=len(ghost_owner_G) > 0 or bool((attends_NP.sum(0) > 1).any()),
        cyclic=_has_cycle(joined.in_front_NN > 0),
    )


def _depth(joined: _Joined, owner_T: Tensor, pixel_T: Tensor) -> Tensor:
    in_front_TN = joined.in_front_NN[owner_T] * joined.coverage_NP.T[pixel_T]
    coverage_T1 = joined.coverage_NP[owner_T, pixel_T, None]
    return torch.cat([in_front_TN, -torch.where(coverage_T1 > 0, coverage_T1, 1.0).log()], 1)


def _has_cycle(in_front_NN: Tensor) -> bool:
    """Whether the order has a cycle, found by removing instances with nothing in front as long as there are any."""
    left = torch.arange(len(in_front_NN))
    while len(left):
        blocked = in_front_NN[left][:, left].any(1)
        if bool(blocked.all()):
            return True
        left = left[blocked]
    return False


def _rendering(rendered_T: Tensor) -> Literal["all", "none", "mixed"]:
    if not rendered_T.any():
        return "none"
    return "all" if rendered_T.all() else "mixed"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Joined:
    sample_N: Tensor
    box_N4: Tensor
    opacity_N: Tensor
    attends_NP: Tensor
    coverage_NP: Tensor
    in_front_NN: Tensor
    ordered_P: Tensor


def _join(samples: Sequence[InstanceGeometry], grid: TokenGrid) -> _Joined:
    """Stack the samples block-diagonally: an instance covers pixels of its own image alone."""
    counts = torch.tensor([len(sample.opacity_K) for sample in samples], dtype=torch.long)
    tokens = grid.num_tokens
    return _Joined(
        sample_N=torch.repeat_interleave(torch.arange(len(samples)), counts),
        box_N4=torch.cat([sample.box_K4 for sample in samples]),
        opacity_N=torch.cat([sample.opacity_K for sample in samples]),
        attends_NP=torch.block_diag(*[_at_width(s.attends_KL, tokens) for s in samples]).bool(),
        coverage_NP=torch.block_diag(*[_at_width(s.coverage_KL, tokens) for s in samples]),
        in_front_NN=torch.block_diag(*[s.in_front_KK.to(torch.float64) for s in samples]),
        ordered_P=torch.tensor([sample.ordered for sample in samples]).repeat_interleave(tokens),
    )


def _at_width(values_KL: Tensor, tokens: int) -> Tensor:
    return values_KL.to(torch.float64).reshape(-1, tokens)


def _rendered_pixels(joined: _Joined, hybrid: Hybrid) -> Tensor:
    if hybrid == "mean":
        return torch.zeros_like(joined.ordered_P)
    if hybrid == "per_layout":
        return joined.ordered_P
    covers_NP = (joined.coverage_NP > 0).to(torch.float64)
    declared_P = (covers_NP * (joined.in_front_NN @ covers_NP)).sum(0) > 0
    return declared_P & joined.ordered_P


def _by_size(attends_NP: Tensor) -> tuple[Tensor, list[int]]:
    """Instances from the smallest to the largest, so that neighbours pad little."""
    sizes_N = attends_NP.sum(1)
    order_N = sizes_N.argsort(stable=True)
    return order_N, sizes_N[order_N].tolist()


def _buckets(order_N: Tensor, sizes: list[int], row_A: Tensor, weighty_A: Tensor) -> tuple[AttentionBucket, ...]:
    buckets, start, first, pairs = [], 0, 0, 0
    while start < len(sizes):
        stop = start + 1
        while stop < len(sizes) and _fits(sizes[start : stop + 1]):
            stop += 1
        last = first + sum(sizes[start:stop])
        bucket = _bucket(
            order_N[start:stop], sizes[start:stop], row_A[first:last] + len(sizes), weighty_A[first:last], pairs
        )
        buckets.append(bucket)
        start, first, pairs = stop, last, bucket.pairs.stop
    return tuple(buckets)


def _fits(sizes: list[int]) -> bool:
    smallest, largest = sizes[0], sizes[-1]
    return smallest >= SIZE_SLACK * largest - 8 and len(sizes) * (largest + 1) <= CHUNK_TOKENS


def _bucket(
    instance_n: Tensor, sizes: list[int], source_a: Tensor, weighty_a: Tensor, first_pair: int
) -> AttentionBucket:
    """source_a and weighty_a belong to the attended tokens of these instances, one instance after the other."""
    size_n = torch.tensor(sizes)
    offset_n = size_n.cumsum(0) - size_n
    column = torch.arange(max(sizes))
    real_nS = column < size_n[:, None]
    token_nS = torch.where(real_nS, offset_n[:, None] + column, 0)
    weighty_nS = real_nS & weighty_a[token_nS]
    beside = torch.ones(len(sizes), 1, dtype=torch.bool)
    token_nQ = token_nS.gather(1, weighty_nS.sort(stable=True, dim=1, descending=True).indices)
    kept_nQ = torch.arange(int(weighty_nS.sum(1).amax())) < weighty_nS.sum(1, keepdim=True)
    query_nQ = torch.where(kept_nQ, source_a[token_nQ[:, : kept_nQ.shape[1]]], instance_n[:, None])
    kept_t = torch.cat([~beside, kept_nQ], 1).flatten().nonzero()[:, 0]
    return AttentionBucket(
        pairs=slice(first_pair, first_pair + len(kept_t)),
        instance_n=instance_n,
        source_nS=torch.cat([instance_n[:, None], source_a[token_nS]], 1),
        valid_nS=None if bool(real_nS.all()) else torch.cat([beside, real_nS], 1),
        query_nQ=torch.cat([instance_n[:, None], query_nQ], 1),
        kept_t=kept_t,
    )
