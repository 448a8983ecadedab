"""One layout block of the branch, dual or single, for one picture: a loop over its instances.

N instances, L image tokens, D channels, S = 1 + covered tokens of an instance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from tests.reference.appearance import coarse_picture, looked_up
from tests.reference.attention import Angle, dual_attention, single_attention
from tests.reference.composition import Cover, blend, density
from tests.reference.heads import mask_logits, similarity
from tests.reference.regions import (
    Box,
    box_coordinates,
    center_id,
    coverage,
    covered_tokens,
    footprint,
    published_center_id,
    soft_mask,
)
from tests.reference.rules import PUBLISHED, Rules
from tests.reference.weights import Weights, adapted, affine, linear

LAYER_NORM_EPSILON = 1e-6

Angles = Callable[[tuple[float, float, float]], Angle]


@dataclass(frozen=True)
class Scene:
    """One picture's instances: boxes, who is in front (None: nothing declared), and their time embeddings."""

    height: int
    width: int
    boxes: list[Box]
    occluders: list[list[int]] | None
    branch_time_D: Tensor
    instance_time_ND: Tensor
    text_NP: Tensor
    angles: Angles
    """Rotary cosines and sines of a position id."""
    rules: Rules = PUBLISHED
    opacities: list[float] = field(default_factory=list)
    """One an instance; empty: all opaque."""

    @cached_property
    def cover(self) -> Cover:
        area = self.rules.rasteriser == "area"
        masks = [(coverage if area else soft_mask)(box, self.height, self.width) for box in self.boxes]
        return Cover(
            footprints=[(covered_tokens if area else footprint)(box, self.height, self.width) for box in self.boxes],
            masks=torch.stack(masks).to(self.branch_time_D),
            opacities=self.opacities or [1.0] * len(self.boxes),
            occluders=self.occluders,
        )

    def condition(self, instance: int) -> Tensor:
        """The time embedding that modulates an instance's rows: the branch's, or its own."""
        return self.instance_time_ND[instance] if self.rules.instance_modulation else self.branch_time_D

    def row_angles(self, instance: int, tokens: list[int]) -> list[Angle]:
        """Angles of the layout token, then of each covered token (0, row, column)."""
        center = center_id if self.rules.rasteriser == "area" else published_center_id
        positions = [center(self.boxes[instance], self.height, self.width)]
        positions += [(0.0, token // self.width, token % self.width) for token in tokens]
        return [self.angles(position) for position in positions]


def layer_norm(x_D: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + eps), no gain."""
    centred = x_D - x_D.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + LAYER_NORM_EPSILON)


def modulation(weights: Weights, norm: str, time_D: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Shift, scale, gate (attention) and, with six parts, shift, scale, gate (feed-forward)."""
    return adapted(weights, f"{norm}.linear", torch.nn.functional.silu(time_D)).chunk(parts, dim=-1)


def feed_forward(weights: Weights, name: str, x_D: Tensor) -> Tensor:
    """Linear, GELU (tanh), linear with LoRA."""
    hidden = torch.nn.functional.gelu(adapted(weights, f"{name}.net.0.proj", x_D), approximate="tanh")
    return adapted(weights, f"{name}.net.2", hidden)


def scatter(rows_SD: Tensor, tokens: list[int], num_tokens: int) -> Tensor:
    """Rows placed at their tokens, zero elsewhere. (L, D)"""
    zero_D = torch.zeros_like(rows_SD[0])
    return torch.stack([rows_SD[tokens.index(token)] if token in tokens else zero_D for token in range(num_tokens)])


def image_rows(weights: Weights, block: str, image_LD: Tensor, instance: int, norm: str, scene: Scene) -> Tensor:
    """The normalised, modulated rows of the tokens an instance covers, told where they lie in its box and what it looks
    like there. (S - 1, D)"""
    parts = 6 if norm == "norm1" else 3
    shift, scale, *_ = modulation(weights, f"{block}.{norm}", scene.condition(instance), parts)
    rows = []
    for token in scene.cover.footprints[instance]:
        row_D = layer_norm(image_LD[token]) * (1 + scale) + shift
        if scene.rules.box_coordinates:
            inside = box_coordinates(scene.boxes[instance], token, scene.height, scene.width).to(row_D)
            row_D = row_D + affine(weights.layout, f"{block}.coordinates", inside)
        rows.append(row_D)
    return add_appearance(weights, f"{block}.appearance", torch.stack(rows), instance, scene)


def add_appearance(weights: Weights, module: str, rows_SD: Tensor, instance: int, scene: Scene) -> Tensor:
    """Rows of the tokens an instance covers, with what it looks like at each of them added, where that is used."""
    if not scene.rules.appearance_side:
        return rows_SD
    picture = coarse_picture(weights, scene.text_NP[instance], scene.rules.appearance_side)
    box, tokens = scene.boxes[instance], scene.cover.footprints[instance]
    seen = [looked_up(picture, box, token, scene.height, scene.width) for token in tokens]
    return rows_SD + torch.stack([linear(weights.layout, module, row) for row in seen])


def composed(weights: Weights, block: str, features_NLD: Tensor, scene: Scene) -> Tensor:
    """The instances' features blended by density and order, or averaged. (L, D)"""
    densities = None
    if scene.rules.hybrid != "mean":
        silu_ND = torch.nn.functional.silu(scene.instance_time_ND)
        logits = [affine(weights.layout, f"{block}.norm1_layout.linear", row_D) for row_D in silu_ND]
        densities = torch.stack([density(row_D) for row_D in logits])
    return blend(features_NLD, densities, scene.cover, scene.rules.hybrid)


def predict_masks(weights: Weights, block: str, features_NLD: Tensor, scene: Scene) -> Tensor | None:
    """Mask logits of every instance from its own features, (N, L, 2); None for weights without a mask head."""
    if f"{block}.mask_predictor.0.weight" not in weights.layout:
        return None
    logits = []
    for instance, features_LD in enumerate(features_NLD):
        time_D = torch.nn.functional.silu(scene.instance_time_ND[instance])
        query_D = affine(weights.layout, f"{block}.norm1_layout.query_liner", time_D)
        similarity_L = similarity(features_LD, query_D, scene.cover.masks[instance])
        logits.append(mask_logits(weights.layout, f"{block}.mask_predictor", similarity_L, scene.height, scene.width))
    return torch.stack(logits)


def dual_instance(
    weights: Weights, block: str, image_LD: Tensor, layout_D: Tensor, instance: int, scene: Scene
) -> tuple[Tensor, Tensor]:
    """Features (L, D) of one instance, zero outside its tokens, and its new layout token (D,)."""
    condition_D = scene.condition(instance)
    _, _, gate, *_ = modulation(weights, f"{block}.norm1", condition_D, 6)
    l_shift, l_scale, l_gate, l_shift_ff, l_scale_ff, l_gate_ff = modulation(
        weights, f"{block}.norm1_context", condition_D, 6
    )
    rows_SD = image_rows(weights, block, image_LD, instance, "norm1", scene)
    tokens = scene.cover.footprints[instance]
    row_D = layer_norm(layout_D) * (1 + l_scale) + l_shift
    angles = scene.row_angles(instance, tokens)
    update_SD, layout_update_D = dual_attention(weights, block, row_D, rows_SD, angles, scene.rules.double_norm)
    update_SD = affine(weights.layout, f"{block}.layout_forward", update_SD)
    if scene.rules.instance_mlp:
        hidden = affine(weights.layout, f"{block}.instance_mlp.0", rows_SD)
        hidden = torch.nn.functional.gelu(hidden, approximate="tanh")
        update_SD = update_SD + affine(weights.layout, f"{block}.instance_mlp.2", hidden)
    if scene.rules.instance_modulation:
        update_SD = gate * update_SD
    update_SD = add_appearance(weights, f"{block}.appearance_out", update_SD, instance, scene)
    layout_D = layout_D + l_gate * layout_update_D
    modulated_D = layer_norm(layout_D) * (1 + l_scale_ff) + l_shift_ff
    layout_D = layout_D + l_gate_ff * feed_forward(weights, f"{block}.ff_context", modulated_D)
    return scatter(update_SD, tokens, len(image_LD)), layout_D


def dual_block(
    weights: Weights, block: str, image_LD: Tensor, layout_ND: Tensor, scene: Scene
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Image tokens, layout tokens and mask logits after the layout branch of a dual block."""
    instances = [
        dual_instance(weights, block, image_LD, layout_D, instance, scene)
        for instance, layout_D in enumerate(layout_ND)
    ]
    features_NLD = torch.stack([features_LD for features_LD, _ in instances])
    _, _, gate, shift_ff, scale_ff, gate_ff = modulation(weights, f"{block}.norm1", scene.branch_time_D, 6)
    update_LD = composed(weights, block, features_NLD, scene)
    if not scene.rules.instance_modulation:
        update_LD = gate * update_LD
    image_LD = image_LD + scene.rules.strength * update_LD
    if scene.rules.second_feed_forward != "none":
        modulated_LD = layer_norm(image_LD) * (1 + scale_ff) + shift_ff
        update_LD = gate_ff * feed_forward(weights, f"{block}.ff", modulated_LD)
        if scene.rules.second_feed_forward == "gated":
            update_LD = weights.layout[f"{block}.ff_gate"] * update_LD
        image_LD = image_LD + (scene.rules.strength if scene.rules.strength_of == "all" else 1.0) * update_LD
    masks = predict_masks(weights, block, features_NLD, scene)
    return image_LD, torch.stack([layout_D for _, layout_D in instances]), masks


def single_instance(
    weights: Weights, block: str, image_LD: Tensor, layout_D: Tensor, instance: int, scene: Scene
) -> tuple[Tensor, Tensor]:
    """Features (L, D) of one instance, zero outside its tokens, and its new layout token (D,)."""
    shift, scale, gate = modulation(weights, f"{block}.norm", scene.condition(instance), 3)
    tokens = scene.cover.footprints[instance]
    row_D = layer_norm(layout_D) * (1 + scale) + shift
    rows_SD = torch.cat([row_D[None], image_rows(weights, block, image_LD, instance, "norm", scene)])
    attended_SD = single_attention(weights, block, rows_SD, scene.row_angles(instance, tokens))
    hidden = torch.nn.functional.gelu(adapted(weights, f"{block}.proj_mlp", rows_SD), approximate="tanh")
    update_SD = gate * adapted(weights, f"{block}.proj_out", torch.cat([attended_SD, hidden], dim=-1))
    features_SD = affine(weights.layout, f"{block}.layout_forward", update_SD[1:])
    features_SD = add_appearance(weights, f"{block}.appearance_out", features_SD, instance, scene)
    return scatter(features_SD, tokens, len(image_LD)), layout_D + update_SD[0]


def single_block(
    weights: Weights, block: str, image_LD: Tensor, layout_ND: Tensor, scene: Scene
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Image tokens, layout tokens and mask logits after the layout branch of a single block."""
    instances = [
        single_instance(weights, block, image_LD, layout_D, instance, scene)
        for instance, layout_D in enumerate(layout_ND)
    ]
    features_NLD = torch.stack([features_LD for features_LD, _ in instances])
    image_LD = image_LD + scene.rules.strength * composed(weights, block, features_NLD, scene)
    masks = predict_masks(weights, block, features_NLD, scene)
    return image_LD, torch.stack([layout_D for _, layout_D in instances]), masks
