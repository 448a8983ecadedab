"""Volume rendering of instance layers in the declared order: density, transmittance, composite.

Legend: T (instance, pixel) pairs, t some consecutive ones, N instances, P pixels of the batch, G weighted pairs
without a feature, D channels, M = N + 1.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from occlusionformer.tensors.alignment import instance_maps
from occlusionformer.tensors.packing import PackedInstances

LOWEST_LOGIT = -80.0
"""Weights below exp(-80), 2e-35 of a layer in front, are kept at it: smaller ones are subnormal, tenfold slower."""


def thinned(density_ND: Tensor, opacity_N: Tensor) -> Tensor:
    """Density whose alpha is `opacity` times the alpha of `density`; opacity 1 leaves it as it is."""
    alpha_ND = -torch.expm1(-density_ND)
    thin_ND = -torch.log1p(-(opacity_N[:, None] * alpha_ND).clamp(max=1 - torch.finfo(alpha_ND.dtype).eps))
    return torch.where(opacity_N[:, None] == 1, density_ND, thin_ND)


def log_alpha(density_ND: Tensor) -> Tensor:
    """log(1 - exp(-density)), finite for every positive density, -inf at density 0."""
    present_ND = density_ND > 0
    return torch.where(present_ND, torch.log(-torch.expm1(-torch.where(present_ND, density_ND, 1.0))), -torch.inf)


class LayerWeights:
    """Weights of layers at their pixels, up to a factor that the layers of one pixel share.

    Rendered pixels: transmittance times opacity, w_i = exp(-tau_i) alpha_i coverage_i, with the optical depth tau_i of
    the instances in front as one small matrix product. Other pixels: the plain mean, weighted by coverage and opacity.
    Only ratios at a pixel count: sums and exponents run in fp32 or better, an acyclic order leaves the layer in front
    at every pixel unattenuated, and a cyclic one is shifted by the greatest exponent, so nothing underflows to 0/0.
    """

    def __init__(self, density_ND: Tensor | None, packed: PackedInstances) -> None:
        self.packed = packed
        self.precise = (
            packed.plain_T.dtype if density_ND is None else torch.promote_types(density_ND.dtype, torch.float32)
        )
        self.opacity_N = None if packed.opacity_N is None else packed.opacity_N.to(self.precise)
        self.shift_PD: Tensor | None = None
        self.rendering = "none" if density_ND is None else packed.rendering
        if density_ND is None or self.rendering == "none":
            return
        density_ND = density_ND.to(self.precise)
        if self.opacity_N is not None:
            density_ND = thinned(density_ND, self.opacity_N)
        self.alpha_ND = log_alpha(density_ND)
        self.density_MD = torch.cat([density_ND, torch.ones_like(density_ND[:1])])
        if packed.cyclic:
            self.shift_PD = self._highest()

    def of(self, pairs: slice) -> Tensor:
        """Weights of some pairs, (t, D), or (t, 1) if all channels weigh alike."""
        plain_t1 = self._plain(pairs) if self.rendering != "all" else None
        if self.rendering == "none":
            assert plain_t1 is not None
            return plain_t1
        packed = self.packed
        weight_tD = self._exponent(packed.owner_T[pairs], packed.depth_TM[pairs], packed.pixel_T[pairs])
        weight_tD = weight_tD.clamp_min_(LOWEST_LOGIT).exp_()
        if plain_t1 is not None:
            weight_tD = torch.where(packed.rendered_T[pairs, None], weight_tD, plain_t1)
        return weight_tD

    def of_ghosts(self) -> Tensor | None:
        """Weights of the pairs that have no feature, (G, D)."""
        packed = self.packed
        if self.rendering == "none" or not len(packed.ghost_owner_G):
            return None
        exponent_GD = self._exponent(packed.ghost_owner_G, packed.ghost_depth_GM, packed.ghost_pixel_G)
        return exponent_GD.clamp_min_(LOWEST_LOGIT).exp_()

    def _exponent(self, owner_t: Tensor, depth_tM: Tensor, pixel_t: Tensor | None) -> Tensor:
        with _outside_autocast(self.alpha_ND.device.type):
            exponent_tD = torch.addmm(
                self.alpha_ND.index_select(0, owner_t), depth_tM.to(self.precise), self.density_MD, alpha=-1
            )
        return exponent_tD if self.shift_PD is None or pixel_t is None else exponent_tD - self.shift_PD[pixel_t]

    def _plain(self, pairs: slice) -> Tensor:
        weight_t = self.packed.plain_T[pairs].to(self.precise)
        if self.opacity_N is not None:
            weight_t = weight_t * self.opacity_N[self.packed.owner_T[pairs]]
        return weight_t[:, None]

    @torch.no_grad()
    def _highest(self) -> Tensor:
        """Greatest finite exponent at each pixel, (P, D); a constant for autograd, since it cancels."""
        packed = self.packed
        highest_PD = self.alpha_ND.new_full((packed.num_pixels, self.alpha_ND.shape[1]), -torch.inf)
        weighted = (packed.coverage_T > 0)[:, None]
        for owner_t, depth_tM, pixel_t, real in (
            (packed.owner_T, packed.depth_TM, packed.pixel_T, weighted),
            (packed.ghost_owner_G, packed.ghost_depth_GM, packed.ghost_pixel_G, None),
        ):
            exponent_tD = self._exponent(owner_t, depth_tM, None)
            exponent_tD = exponent_tD if real is None else torch.where(real, exponent_tD, -torch.inf)
            highest_PD.scatter_reduce_(0, pixel_t[:, None].expand_as(exponent_tD), exponent_tD, "amax")
        return torch.where(highest_PD.isfinite(), highest_PD, 0.0)


class Composite:
    """Blends every pixel's layers, given some consecutive pairs at a time, so that not all need be in memory.

    density_ND None averages. A pixel that one instance covers keeps its layer, whatever the density. `like` gives
    dtype, device and D.
    """

    def __init__(self, density_ND: Tensor | None, packed: PackedInstances, *, like: Tensor) -> None:
        self.packed, self.dtype = packed, like.dtype
        self.weights = LayerWeights(density_ND, packed) if packed.overlapping else None
        wide = like.dtype if self.weights is None else torch.promote_types(like.dtype, self.weights.precise)
        self.blend_PD = like.new_zeros(packed.num_pixels, like.shape[-1], dtype=wide)
        channels = 1 if self.weights is None or self.weights.rendering == "none" else like.shape[-1]
        self.total_PD = like.new_zeros(packed.num_pixels, channels, dtype=wide)

    def add(self, pairs: slice, layers_tD: Tensor) -> None:
        """The layers of some pairs."""
        pixel_t = self.packed.pixel_T[pairs]
        if self.weights is None:
            self.blend_PD.index_add_(0, pixel_t, layers_tD)
            return
        weight_tD = self.weights.of(pairs).to(self.blend_PD.dtype)
        self.total_PD.index_add_(0, pixel_t, weight_tD)
        self.blend_PD.index_add_(0, pixel_t, weight_tD * layers_tD)

    def blend(self) -> Tensor:
        """The blend of all layers added, (P, D); zero where none covers."""
        if self.weights is None:
            return _present(self.blend_PD, self.packed)
        ghost_GD = self.weights.of_ghosts()
        total_PD = self.total_PD
        if ghost_GD is not None:
            total_PD = total_PD.index_add(0, self.packed.ghost_pixel_G, ghost_GD.to(total_PD.dtype))
        blend_PD = self.blend_PD / torch.where(total_PD > 0, total_PD, 1.0)
        return _present(blend_PD, self.packed).to(self.dtype)


def composite(layers_TD: Tensor, density_ND: Tensor | None, packed: PackedInstances) -> Tensor:
    """The blend of all layers at once, (P, D); see Composite."""
    whole = Composite(density_ND, packed, like=layers_TD)
    whole.add(slice(0, len(layers_TD)), layers_TD)
    return whole.blend()


def pair_weights(density_ND: Tensor | None, packed: PackedInstances) -> Tensor:
    """Normalised weight of every pair's layer at its pixel, (T, D) in 0..1 ((T, 1) where nothing is rendered)."""
    weights = LayerWeights(density_ND, packed)
    weight_TD = weights.of(slice(0, len(packed.pixel_T)))
    total_PD = weight_TD.new_zeros(packed.num_pixels, weight_TD.shape[1]).index_add(0, packed.pixel_T, weight_TD)
    ghost_GD = weights.of_ghosts()
    if ghost_GD is not None:
        total_PD = total_PD.index_add(0, packed.ghost_pixel_G, ghost_GD)
    return weight_TD / torch.where(total_PD > 0, total_PD, 1.0)[packed.pixel_T]


def presence(packed: PackedInstances) -> Tensor | None:
    """Joint opacity of the instances at each pixel, 1 - prod(1 - opacity), (P,); None if all are opaque.

    Weights are normalised, so without it a single half-transparent layer would weigh as much as an opaque one.
    """
    if packed.opacity_N is None:
        return None
    through_T = (1 - packed.opacity_N)[packed.owner_T]
    return 1 - through_T.new_ones(packed.num_pixels).scatter_reduce(0, packed.pixel_T, through_T, "prod")


def _present(blend_PD: Tensor, packed: PackedInstances) -> Tensor:
    presence_P = presence(packed)
    return blend_PD if presence_P is None else blend_PD * presence_P[:, None].to(blend_PD.dtype)


def weight_maps(density_ND: Tensor | None, packed: PackedInstances) -> Tensor:
    """Channel mean of every instance's compositing weight over its own image, (N, L)."""
    return instance_maps(pair_weights(density_ND, packed).mean(1), packed).flatten(1)


def _outside_autocast(device: str) -> AbstractContextManager[object]:
    """Numbers in their own format; nothing on devices that have no autocast, such as meta."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
