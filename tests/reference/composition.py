"""Volume rendering of overlapping instances: density, transmittance, weights, blend; pixel by pixel.

N instances, L image tokens, D channels. `occluders[i]` lists the instances in front of i.
"""

import torch
from torch import Tensor

DENSITY_SCALE = 5.0


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
        total_D = torch.stack(weights).sum(0) if weights else torch.zeros_like(shares_NLD[0, pixel])
        for instance in range(num_instances):
            if total_D.sum() > 0:
                shares_NLD[instance, pixel] = weights[instance] / total_D
    return shares_NLD


def plain_mean(features_NLD: Tensor, footprints: list[list[int]]) -> Tensor:
    """Mean over the instances that cover a pixel: the blend when no order is given at all. (L, D)"""
    num_pixels = features_NLD.shape[1]
    pixels = []
    for pixel in range(num_pixels):
        covering = [i for i, tokens in enumerate(footprints) if pixel in tokens]
        total_D = torch.zeros_like(features_NLD[0, pixel])
        for instance in covering:
            total_D = total_D + features_NLD[instance, pixel]
        pixels.append(total_D / max(len(covering), 1))
    return torch.stack(pixels)
