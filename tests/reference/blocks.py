"""One layout block of the branch, dual or single, for one picture: a loop over its instances.

N instances, L image tokens, D channels, S = 1 + covered tokens of an instance.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.reference.attention import Angle, dual_attention, single_attention
from tests.reference.composition import composite, density, plain_mean
from tests.reference.heads import mask_logits, similarity
from tests.reference.regions import Box, center_id, footprint, soft_mask
from tests.reference.weights import Weights, adapted, affine

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
    angles: Angles
    """Rotary cosines and sines of a position id."""
    double_norm: bool = True
    rerun_feed_forward: bool = True

    @property
    def footprints(self) -> list[list[int]]:
        return [footprint(box, self.height, self.width) for box in self.boxes]

    @property
    def masks_NL(self) -> Tensor:
        masks = [soft_mask(box, self.height, self.width) for box in self.boxes]
        return torch.stack(masks).to(self.branch_time_D)

    def row_angles(self, instance: int) -> list[Angle]:
        """Angles of the layout token, then of each covered token (0, row, column)."""
        positions = [center_id(self.boxes[instance], self.height, self.width)]
        positions += [(0.0, token // self.width, token % self.width) for token in self.footprints[instance]]
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


def blend(weights: Weights, block: str, features_NLD: Tensor, scene: Scene) -> Tensor:
    """Composite by density and order; the plain mean when no order is given. (L, D)"""
    if scene.occluders is None:
        return plain_mean(features_NLD, scene.footprints)
    silu_ND = torch.nn.functional.silu(scene.instance_time_ND)
    densities = [density(affine(weights.layout, f"{block}.norm1_layout.linear", row_D)) for row_D in silu_ND]
    return composite(features_NLD, torch.stack(densities), scene.masks_NL, scene.occluders)


def predict_masks(weights: Weights, block: str, features_NLD: Tensor, scene: Scene) -> Tensor:
    """Mask logits of every instance from its own features. (N, L, 2)"""
    logits = []
    for instance, features_LD in enumerate(features_NLD):
        time_D = torch.nn.functional.silu(scene.instance_time_ND[instance])
        query_D = affine(weights.layout, f"{block}.norm1_layout.query_liner", time_D)
        similarity_L = similarity(features_LD, query_D, scene.masks_NL[instance])
        logits.append(mask_logits(weights.layout, f"{block}.mask_predictor", similarity_L, scene.height, scene.width))
    return torch.stack(logits)


def dual_block(
    weights: Weights, block: str, image_LD: Tensor, layout_ND: Tensor, scene: Scene
) -> tuple[Tensor, Tensor, Tensor]:
    """Image tokens, layout tokens and mask logits after the layout branch of a dual block."""
    shift, scale, gate, shift_ff, scale_ff, gate_ff = modulation(weights, f"{block}.norm1", scene.branch_time_D, 6)
    l_shift, l_scale, l_gate, l_shift_ff, l_scale_ff, l_gate_ff = modulation(
        weights, f"{block}.norm1_context", scene.branch_time_D, 6
    )
    features, layout_rows = [], []
    for instance, tokens in enumerate(scene.footprints):
        covered = torch.stack([layer_norm(image_LD[token]) * (1 + scale) + shift for token in tokens])
        layout_D = layer_norm(layout_ND[instance]) * (1 + l_scale) + l_shift
        update_SD, layout_update_D = dual_attention(
            weights, block, layout_D, covered, scene.row_angles(instance), scene.double_norm
        )
        update_SD = affine(weights.layout, f"{block}.layout_forward", update_SD)
        features.append(scatter(update_SD, tokens, len(image_LD)))
        layout_row_D = layout_ND[instance] + l_gate * layout_update_D
        modulated_D = layer_norm(layout_row_D) * (1 + l_scale_ff) + l_shift_ff
        layout_rows.append(layout_row_D + l_gate_ff * feed_forward(weights, f"{block}.ff_context", modulated_D))
    features_NLD = torch.stack(features)
    image_LD = image_LD + gate * blend(weights, block, features_NLD, scene)
    if scene.rerun_feed_forward:
        modulated_LD = layer_norm(image_LD) * (1 + scale_ff) + shift_ff
        image_LD = image_LD + gate_ff * feed_forward(weights, f"{block}.ff", modulated_LD)
    return image_LD, torch.stack(layout_rows), predict_masks(weights, block, features_NLD, scene)


def single_block(
    weights: Weights, block: str, image_LD: Tensor, layout_ND: Tensor, scene: Scene
) -> tuple[Tensor, Tensor, Tensor]:
    """Image tokens, layout tokens and mask logits after the layout branch of a single block."""
    shift, scale, gate = modulation(weights, f"{block}.norm", scene.branch_time_D, 3)
    features, layout_rows = [], []
    for instance, tokens in enumerate(scene.footprints):
        rows_SD = torch.stack([layout_ND[instance], *(image_LD[token] for token in tokens)])
        rows_SD = layer_norm(rows_SD) * (1 + scale) + shift
        attended_SD = single_attention(weights, block, rows_SD, scene.row_angles(instance))
        hidden = torch.nn.functional.gelu(adapted(weights, f"{block}.proj_mlp", rows_SD), approximate="tanh")
        update_SD = gate * adapted(weights, f"{block}.proj_out", torch.cat([attended_SD, hidden], dim=-1))
        layout_rows.append(layout_ND[instance] + update_SD[0])
        update_SD = affine(weights.layout, f"{block}.layout_forward", update_SD[1:])
        features.append(scatter(update_SD, tokens, len(image_LD)))
    features_NLD = torch.stack(features)
    image_LD = image_LD + blend(weights, block, features_NLD, scene)
    return image_LD, torch.stack(layout_rows), predict_masks(weights, block, features_NLD, scene)
