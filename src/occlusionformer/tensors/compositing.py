"""Volume rendering of instance layers in the declared order: density, transmittance, composite.

Legend: T (instance, pixel) pairs, N instances, P pixels of the batch, G weighted pairs without a feature, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from occlusionformer.tensors.packing import PackedInstances


def thinned(density_ND: Tensor, opacity_N: Tensor) -> Tensor:
    """Density whose alpha is `opacity` times the alpha of `density`; opacity 1 leaves it as it is."""
    alpha_ND = -torch.expm1(-density_ND)
    thin_ND = -torch.log1p(-(opacity_N[:, None] * alpha_ND).clamp(max=1 - torch.finfo(alpha_ND.dtype).eps))
    return torch.where(opacity_N[:, None] == 1, density_ND, thin_ND)


def log_alpha(density_ND: Tensor) -> Tensor:
    """log(1 - exp(-density)), finite for every positive density, -inf at density 0."""
    present_ND = density_ND > 0
    return torch.where(present_ND, torch.log(-torch.expm1(-torch.where(present_ND, density_ND, 1.0))), -torch.inf)


def pair_weights(density_ND: Tensor, packed: PackedInstances) -> Tensor:
    """Normalised weight of every pair's layer at its pixel, (T, D), each in 0..1.

    Rendered pixels: transmittance times opacity over the covering instances, eq. w_i = T_i alpha_i / sum_j T_j alpha_j,
    computed as a softmax of -tau + log(alpha), so that it neither needs an epsilon nor underflows, cyclic orders
    included. Other pixels: the plain mean. Sums and exponents run in fp32 or better whatever the input.
    """
    precise = torch.promote_types(density_ND.dtype, torch.float32)
    density_ND = density_ND.to(precise)
    opacity_N = None if packed.opacity_N is None else packed.opacity_N.to(precise)
    if opacity_N is not None:
        density_ND = thinned(density_ND, opacity_N)
    plain_T1 = _plain(packed, opacity_N, precise)
    if packed.rendering == "none":
        return plain_T1.expand(-1, density_ND.shape[1])
    weight_TD = _rendered(density_ND, packed, precise)
    if packed.rendering == "mixed":
        weight_TD = torch.where(packed.rendered_T[:, None], weight_TD, plain_T1)
    return weight_TD


def _rendered(density_ND: Tensor, packed: PackedInstances, precise: torch.dtype) -> Tensor:
    alpha_ND = log_alpha(density_ND)
    logit_TD = torch.addmm(alpha_ND[packed.owner_T], packed.in_front_TN.to(precise), density_ND, alpha=-1)
    logit_TD = logit_TD + packed.coverage_T.to(precise).log()[:, None]
    shift_PD = _highest(logit_TD, packed.pixel_T, packed.num_pixels)
    has_ghosts = len(packed.ghost_owner_G) > 0
    if has_ghosts:
        ghost_GD = torch.addmm(
            alpha_ND[packed.ghost_owner_G], packed.ghost_in_front_GN.to(precise), density_ND, alpha=-1
        )
        ghost_GD = ghost_GD + packed.ghost_coverage_G.to(precise).log()[:, None]
        shift_PD = torch.maximum(shift_PD, _highest(ghost_GD, packed.ghost_pixel_G, packed.num_pixels))
    shift_PD = torch.where(shift_PD.isfinite(), shift_PD, 0.0)
    weight_TD = torch.exp(logit_TD - shift_PD[packed.pixel_T])
    total_PD = torch.zeros_like(shift_PD).index_add(0, packed.pixel_T, weight_TD)
    if has_ghosts:
        ghost_weight_GD = torch.exp(ghost_GD - shift_PD[packed.ghost_pixel_G])
        total_PD = total_PD.index_add(0, packed.ghost_pixel_G, ghost_weight_GD)
    return weight_TD / torch.where(total_PD > 0, total_PD, 1.0)[packed.pixel_T]


def _highest(logit_TD: Tensor, pixel_T: Tensor, num_pixels: int) -> Tensor:
    """Greatest logit at each pixel; a constant for autograd, since it cancels."""
    floor_PD = logit_TD.new_full((num_pixels, logit_TD.shape[1]), -torch.inf)
    return floor_PD.scatter_reduce(0, pixel_T[:, None].expand_as(logit_TD), logit_TD.detach(), "amax")


def _plain(packed: PackedInstances, opacity_N: Tensor | None, precise: torch.dtype) -> Tensor:
    weight_T = packed.plain_T.to(precise)
    if opacity_N is not None:
        weight_T = weight_T * opacity_N[packed.owner_T]
    total_P = weight_T.new_zeros(packed.num_pixels).index_add(0, packed.pixel_T, weight_T)
    return (weight_T / torch.where(total_P > 0, total_P, 1.0)[packed.pixel_T])[:, None]


def presence(packed: PackedInstances) -> Tensor | None:
    """How much of each pixel the instances take together, 1 - prod(1 - opacity), (P,); None where all are opaque.

    Weights are normalised, so without it a single half-transparent layer would weigh as much as an opaque one.
    """
    if packed.opacity_N is None:
        return None
    through_T = (1 - packed.opacity_N)[packed.owner_T]
    return 1 - through_T.new_ones(packed.num_pixels).scatter_reduce(0, packed.pixel_T, through_T, "prod")


def composite(layers_TD: Tensor, density_ND: Tensor | None, packed: PackedInstances) -> Tensor:
    """Blend every pixel's layers by their weights, (P, D); zero where nothing covers.

    density_ND None averages. A pixel that one instance covers keeps its layer, whatever the density.
    """
    blend_PD = layers_TD.new_zeros(packed.num_pixels, layers_TD.shape[1])
    if packed.overlapping and density_ND is not None:
        weight_TD = pair_weights(density_ND, packed)
        layers_TD = (layers_TD * weight_TD).to(layers_TD.dtype)
    elif packed.overlapping:
        layers_TD = layers_TD * _plain(packed, packed.opacity_N, torch.float32).to(layers_TD.dtype)
    blend_PD = blend_PD.index_add(0, packed.pixel_T, layers_TD)
    presence_P = presence(packed)
    return blend_PD if presence_P is None else blend_PD * presence_P[:, None].to(blend_PD.dtype)


def weight_maps(density_ND: Tensor | None, packed: PackedInstances) -> Tensor:
    """Channel mean of every instance's compositing weight over its own image, (N, L)."""
    if density_ND is None:
        weight_T = _plain(packed, packed.opacity_N, torch.float32)[:, 0]
    else:
        weight_T = pair_weights(density_ND, packed).mean(1)
    tokens = packed.grid.num_tokens
    slot_T = packed.owner_T * tokens + packed.pixel_T % tokens
    flat = weight_T.new_zeros(packed.num_instances * tokens).index_add(0, slot_T, weight_T)
    return flat.reshape(packed.num_instances, tokens)
