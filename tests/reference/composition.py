"""Volume rendering of overlapping instances: density, transmittance, weights, blend; pixel by pixel.

N instances, L image tokens, D channels. `occluders[i]` lists the instances in front of i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

DENSITY_SCALE = 5.0

Hybrid = Literal["per_layout", "per_pixel", "mean"]


def density(logits_D: Tensor) -> Tensor:
    """sigma = 5 softplus(logits)."""
    return DENSITY_SCALE * torch.log1p(torch.exp(-logits_D.abs())) + DENSITY_SCALE * logits_D.clamp_min(0)


def transmittance(
    instance: int, pixel: int, density_ND: Tensor, masks_NL: Tensor, occluders: list[list[int]]
) -> Tensor:
    """T_i(p) = exp(-sum over j in front of i of m_j(p) sigma_j), (D,)."""
    optical_depth_D = torch.zeros_like(density_ND[instance])
    for other in occluders[instance]:
        optical_depth_D = optical_depth_D + masks_NL[other, pixel] * density_ND[other]
    return torch.exp(-optical_depth_D)


def weight(instance: int, pixel: int, density_ND: Tensor, masks_NL: Tensor, occluders: list[list[int]]) -> Tensor:
    """w_i(p) = T_i(p) (1 - exp(-sigma_i)) m_i(p), (D,)."""
    opacity_D = -torch.expm1(-density_ND[instance])
    return transmittance(instance, pixel, density_ND, masks_NL, occluders) * opacity_D * masks_NL[instance, pixel]


def composite(features_NLD: Tensor, density_ND: Tensor, masks_NL: Tensor, occluders: list[list[int]]) -> Tensor:
    """Blend of the features at every pixel by their normalised weights; 0 where nothing has weight. (L, D)"""
    num_instances, num_pixels, _ = features_NLD.shape
    pixels = []
    for pixel in range(num_pixels):
        total_D = torch.zeros_like(features_NLD[0, pixel])
        blend_D = torch.zeros_like(features_NLD[0, pixel])
        for instance in range(num_instances):
            weight_D = weight(instance, pixel, density_ND, masks_NL, occluders)
            total_D = total_D + weight_D
            blend_D = blend_D + weight_D * features_NLD[instance, pixel]
        pixels.append(blend_D / total_D if total_D.sum() > 0 else torch.zeros_like(blend_D))
    return torch.stack(pixels)


def normalised_weights(density_ND: Tensor, masks_NL: Tensor, occluders: list[list[int]]) -> Tensor:
    """(N, L, D) share of each instance at each pixel; 0 where nothing has weight."""
    num_instances, num_pixels = masks_NL.shape
    shares_NLD = torch.zeros(num_instances, num_pixels, density_ND.shape[1], dtype=density_ND.dtype)
    for pixel in range(num_pixels):
        weights = [weight(i, pixel, density_ND, masks_NL, occluders) for i in range(num_instances)]
        total_D = sum(weights, torch.zeros(density_ND.shape[1], dtype=density_ND.dtype))
        for instance in range(num_instances):
            if total_D.sum() > 0:
                shares_NLD[instance, pixel] = weights[instance] / total_D
    return shares_NLD


def thinned(density_D: Tensor, opacity: float) -> Tensor:
    """The density whose 1 - exp(-sigma) is `opacity` times that of `density_D`."""
    if opacity == 1:
        return density_D
    return -torch.log1p(opacity * torch.expm1(-density_D))


def declares_order(pixel: int, masks_NL: Tensor, occluders: list[list[int]]) -> bool:
    """Two instances that both cover the pixel stand in a declared relation."""
    return any(masks_NL[i, pixel] > 0 and masks_NL[j, pixel] > 0 for i, front in enumerate(occluders) for j in front)


def presence(pixel: int, cover: Cover, rendered: bool) -> float:
    """1 - product of (1 - opacity) over the instances that attend at the pixel and, if rendered, weigh anything."""
    through = 1.0
    for tokens, mask_L, opacity in zip(cover.footprints, cover.masks, cover.opacities, strict=True):
        if pixel in tokens and (mask_L[pixel] > 0 or not rendered):
            through *= 1 - opacity
    return 1 - through


def average(pixel: int, features_NLD: Tensor, footprints: list[list[int]], shares: list[float]) -> Tensor:
    """Mean of the features of the instances that cover the pixel, weighted by `shares`; 0 where none has any. (D,)"""
    blend_D, total = torch.zeros_like(features_NLD[0, pixel]), 0.0
    for instance, tokens in enumerate(footprints):
        if pixel in tokens:
            blend_D, total = blend_D + shares[instance] * features_NLD[instance, pixel], total + shares[instance]
    return blend_D / total if total > 0 else blend_D


@dataclass(frozen=True)
class Cover:
    """What the instances of one picture cover: footprints, soft masks (N, L), opacities; `occluders` None: no order."""

    footprints: list[list[int]]
    masks: Tensor
    opacities: list[float]
    occluders: list[list[int]] | None


def blend(features_NLD: Tensor, density_ND: Tensor | None, cover: Cover, hybrid: Hybrid) -> Tensor:
    """Volume rendering or the mean, pixel by pixel, faded by the opacities. (L, D)

    "per_layout" renders every pixel of a picture that declares an order; "per_pixel" the pixels at which instances
    in a declared relation meet, and weighs the mean elsewhere by coverage; "mean" renders none.
    """
    order = cover.occluders or [[] for _ in cover.footprints]
    rendered_LD = None
    if density_ND is not None:
        thin = [thinned(density_D, o) for density_D, o in zip(density_ND, cover.opacities, strict=True)]
        rendered_LD = composite(features_NLD, torch.stack(thin), cover.masks, order)
    pixels = []
    for pixel in range(cover.masks.shape[1]):
        renders = {
            "per_layout": cover.occluders is not None,
            "per_pixel": declares_order(pixel, cover.masks, order),
            "mean": False,
        }
        shares = list(cover.opacities)
        if hybrid == "per_pixel":
            shares = [float(mask_L[pixel]) * o for mask_L, o in zip(cover.masks, cover.opacities, strict=True)]
        blend_D = average(pixel, features_NLD, cover.footprints, shares)
        if rendered_LD is not None and renders[hybrid]:
            blend_D = rendered_LD[pixel]
        pixels.append(blend_D * presence(pixel, cover, renders[hybrid]))
    return torch.stack(pixels)
