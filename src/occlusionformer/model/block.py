"""The layout block that follows a backbone block: attend per instance, project, composite, add.

Legend: B samples, L image tokens, P = B * L, N instances, R rows, T pairs, C condition vectors, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlusionformer.model.align import MaskHead
from occlusionformer.model.attention import QueryKeyValue, Rotary, attend, rotate
from occlusionformer.model.backbone import DUAL_PATHS, SINGLE_PATHS, DualLayers, SingleLayers
from occlusionformer.model.config import BranchConfig
from occlusionformer.model.delta import delta, dense, fold
from occlusionformer.model.density import Density
from occlusionformer.tensors.compositing import composite, weight_maps
from occlusionformer.tensors.packing import PackedInstances


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchStep:
    """What the layout blocks of one denoising step share.

    time_BD is the layout time embedding of each sample, time_ND that of each instance with its own text. Index tensors
    are None where one condition serves all rows.
    """

    packed: PackedInstances
    time_BD: Tensor
    time_ND: Tensor
    row_condition_CD: Tensor
    row_index: Tensor | None
    token_condition_CD: Tensor
    token_index: Tensor | None
    row_rotary: Rotary
    token_rotary: Rotary
    coordinates_RF: Tensor | None
    strength: float
    return_masks: bool
    return_weights: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutBlockOutput:
    """Image tokens (B, L, D) and layout tokens (N, D) after the block; mask logits and weights where asked for."""

    image: Tensor
    tokens: Tensor
    mask_logits: Tensor | None
    weights: Tensor | None


def spread(vector_CX: Tensor, index: Tensor | None) -> Tensor:
    return vector_CX if index is None else vector_CX[index]


def heads(x_RD: Tensor, config: BranchConfig) -> Tensor:
    return x_RD.unflatten(-1, (config.num_heads, config.head_dim))


class LayoutBlock(nn.Module):
    """What dual and single layout blocks have in common: deltas, density, mask head, output projection, composition."""

    def __init__(self, config: BranchConfig, sizes: dict[str, tuple[int, int]]) -> None:
        super().__init__()
        self.config = config
        self.deltas = nn.ModuleDict(
            {name: delta(into, out, config.lora_rank, config.lora_scale) for name, (into, out) in sizes.items()}
        )
        self.project = nn.Linear(config.width, config.width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        self.density = Density(config) if config.density != "none" else None
        self.mask_head = MaskHead(config) if config.mask_head else None
        self.coordinates = nn.Linear(8 * config.fourier_frequencies, config.width) if config.box_coordinates else None

    def modulation(self, layer: nn.Module, name: str, condition_CD: Tensor, parts: int) -> tuple[Tensor, ...]:
        return self.deltas[name](layer, F.silu(condition_CD)).chunk(parts, dim=-1)

    def located(self, rows_RD: Tensor, step: BranchStep) -> Tensor:
        return rows_RD if self.coordinates is None else rows_RD + self.coordinates(step.coordinates_RF)

    def qkv(self, x_RD: Tensor, names: str, layers: DualLayers | SingleLayers) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            heads(self.deltas[names + part](getattr(layers, names + part), x_RD), self.config) for part in "qkv"
        )
        return query, key, value

    def folds(self, step: BranchStep) -> bool:
        """Whether multiplying two weight matrices first is cheaper than applying both to every pair."""
        return len(step.packed.owner_T) > 2 * self.config.width

    def composed(self, layers_TD: Tensor, step: BranchStep) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Composited update (P, D), mask logits, weights."""
        density_ND = None if self.density is None else self.density(step.time_ND)
        masks = None
        if step.return_masks and self.mask_head is not None:
            masks = self.mask_head(layers_TD, step.time_ND, step.packed)
        weights = weight_maps(density_ND, step.packed) if step.return_weights else None
        return composite(layers_TD, density_ND, step.packed), masks, weights


class DualLayoutBlock(LayoutBlock):
    """Follows a dual-stream block. Image tokens use the image stream's layers, layout tokens the text stream's."""

    def __init__(self, config: BranchConfig) -> None:
        width, hidden = config.width, config.width * config.mlp_ratio
        sizes = dict.fromkeys(DUAL_PATHS, (width, width))
        sizes |= dict.fromkeys(("modulation", "context_modulation"), (width, 6 * width))
        sizes |= dict.fromkeys(("ff_out", "context_ff_out"), (hidden, width))
        if config.second_feed_forward == "none":
            del sizes["ff_out"]
        super().__init__(config, sizes)
        self.ff_gate = nn.Parameter(torch.zeros(width)) if config.second_feed_forward == "gated" else None
        self.instance_mlp: nn.Sequential | None = None
        if config.instance_mlp_ratio:
            inner = config.instance_mlp_ratio * width
            last = nn.Linear(inner, width)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.instance_mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(approximate="tanh"), last)

    def forward(
        self, layers: DualLayers, image_BLD: Tensor, tokens_ND: Tensor, step: BranchStep
    ) -> LayoutBlockOutput:
        packed, config = step.packed, self.config
        shift, scale, gate, *_ = mod = self.modulation(layers.modulation, "modulation", step.row_condition_CD, 6)
        rows_RD = layers.norm(image_BLD.flatten(0, 1)[packed.pixel_R])
        rows_RD = self.located(torch.addcmul(spread(shift, step.row_index), rows_RD, 1 + spread(scale, step.row_index)), step)
        query, key, value = self.qkv(rows_RD, "", layers)
        rows = QueryKeyValue(
            rotate(layers.norm_q(query), step.row_rotary), rotate(layers.norm_k(key), step.row_rotary), value
        )
        token_mod = self.modulation(layers.context_modulation, "context_modulation", step.token_condition_CD, 6)
        token_mod = tuple(spread(part, step.token_index) for part in token_mod)
        out_ND, out_TD = attend(self._token_qkv(layers, tokens_ND, token_mod, step), rows, packed)

        layers_TD = self._projected(layers.out, out_TD, step)
        if self.instance_mlp is not None:
            layers_TD = layers_TD + self.instance_mlp(rows_RD)
        if config.instance_modulation:
            layers_TD = layers_TD * gate[packed.owner_T]
        update_PD, masks, weights = self.composed(layers_TD, step)
        update_BLD = update_PD.unflatten(0, (packed.num_samples, -1))
        if not config.instance_modulation:
            update_BLD = update_BLD * gate[:, None]
        image_BLD = torch.add(image_BLD, update_BLD, alpha=step.strength)
        if config.second_feed_forward != "none":
            image_BLD = self._fed_forward(layers, image_BLD, mod, step)
        tokens_ND = self._token_update(layers, tokens_ND, out_ND, token_mod)
        return LayoutBlockOutput(image=image_BLD, tokens=tokens_ND, mask_logits=masks, weights=weights)

    def _token_qkv(
        self, layers: DualLayers, tokens_ND: Tensor, mod: tuple[Tensor, ...], step: BranchStep
    ) -> QueryKeyValue:
        shift, scale, *_ = mod
        query, key, value = self.qkv(layers.context_norm(tokens_ND) * (1 + scale) + shift, "context_", layers)
        if self.config.double_qk_norm:
            query, key = layers.norm_q(query), layers.norm_k(key)
        query, key = layers.context_norm_q(query), layers.context_norm_k(key)
        return QueryKeyValue(rotate(query, step.token_rotary), rotate(key, step.token_rotary), value)

    def _projected(self, out: nn.Module, out_TD: Tensor, step: BranchStep) -> Tensor:
        if not self.folds(step):
            return self.project(self.deltas["out"](out, out_TD))
        weight, bias = dense(out, self.config.width, out_TD)
        return F.linear(out_TD, *fold(self.project, weight + self.deltas["out"].weight(), bias))

    def _fed_forward(
        self, layers: DualLayers, image_BLD: Tensor, mod: tuple[Tensor, ...], step: BranchStep
    ) -> Tensor:
        if self.config.instance_modulation:
            mod = self.modulation(layers.modulation, "modulation", step.time_BD, 6)
        shift, scale, gate = (part[:, None] for part in mod[3:])
        hidden = layers.ff_in(layers.ff_norm(image_BLD) * (1 + scale) + shift)
        update = gate * self.deltas["ff_out"](layers.ff_out, hidden)
        if self.ff_gate is not None:
            update = update * self.ff_gate
        return torch.add(image_BLD, update, alpha=step.strength)

    def _token_update(
        self, layers: DualLayers, tokens_ND: Tensor, out_ND: Tensor, mod: tuple[Tensor, ...]
    ) -> Tensor:
        _, _, gate, ff_shift, ff_scale, ff_gate = mod
        tokens_ND = tokens_ND + gate * self.deltas["context_out"](layers.context_out, out_ND)
        hidden = layers.context_ff_in(layers.context_ff_norm(tokens_ND) * (1 + ff_scale) + ff_shift)
        return tokens_ND + ff_gate * self.deltas["context_ff_out"](layers.context_ff_out, hidden)


class SingleLayoutBlock(LayoutBlock):
    """Follows a single-stream block: attention and MLP in parallel, both inside the instance."""

    def __init__(self, config: BranchConfig) -> None:
        width, hidden = config.width, config.width * config.mlp_ratio
        sizes = dict.fromkeys(SINGLE_PATHS, (width, width))
        sizes |= {"modulation": (width, 3 * width), "mlp": (width, hidden), "out": (width + hidden, width)}
        super().__init__(config, sizes)

    def forward(
        self, layers: SingleLayers, image_BLD: Tensor, tokens_ND: Tensor, step: BranchStep
    ) -> LayoutBlockOutput:
        packed = step.packed
        shift, scale, gate_CD = self.modulation(layers.modulation, "modulation", step.row_condition_CD, 3)
        rows_RD = layers.norm(image_BLD.flatten(0, 1)[packed.pixel_R])
        rows_RD = self.located(torch.addcmul(spread(shift, step.row_index), rows_RD, 1 + spread(scale, step.row_index)), step)
        rows = self._qkv(layers, rows_RD, step.row_rotary)
        shift, scale, gate_ND = (
            spread(part, step.token_index)
            for part in self.modulation(layers.modulation, "modulation", step.token_condition_CD, 3)
        )
        modulated_ND = layers.norm(tokens_ND) * (1 + scale) + shift
        out_ND, out_TD = attend(self._qkv(layers, modulated_ND, step.token_rotary), rows, packed)

        token_mlp = layers.mlp_act(self.deltas["mlp"](layers.mlp, modulated_ND))
        tokens_ND = tokens_ND + gate_ND * self.deltas["out"](layers.out, torch.cat([out_ND, token_mlp], -1))
        layers_TD = self._projected(layers, out_TD, rows_RD, gate_CD, step)
        update_PD, masks, weights = self.composed(layers_TD, step)
        image_BLD = torch.add(image_BLD, update_PD.unflatten(0, (packed.num_samples, -1)), alpha=step.strength)
        return LayoutBlockOutput(image=image_BLD, tokens=tokens_ND, mask_logits=masks, weights=weights)

    def _qkv(self, layers: SingleLayers, x_RD: Tensor, rotary: Rotary) -> QueryKeyValue:
        query, key, value = self.qkv(x_RD, "", layers)
        return QueryKeyValue(rotate(layers.norm_q(query), rotary), rotate(layers.norm_k(key), rotary), value)

    def _projected(
        self, layers: SingleLayers, out_TD: Tensor, rows_RD: Tensor, gate_CD: Tensor, step: BranchStep
    ) -> Tensor:
        """project(gate * out([attention; mlp])), the MLP half once per row."""
        width, row_T = self.config.width, step.packed.row_T
        weight, bias = dense(layers.out, width * (1 + self.config.mlp_ratio), out_TD)
        weight = weight + self.deltas["out"].weight()
        mlp_RH = layers.mlp_act(self.deltas["mlp"](layers.mlp, rows_RD))
        shared_RD = F.linear(mlp_RH, weight[:, width:], bias)
        gate_RD = spread(gate_CD, step.row_index)
        if gate_CD.shape[0] == 1 and self.folds(step):
            shared_RD = self.project(gate_CD * shared_RD)
            folded = (self.project.weight * gate_CD) @ weight[:, :width]
            return torch.addmm(shared_RD[row_T], out_TD, folded.T)
        gate_TD = gate_RD if step.row_index is None else gate_RD[row_T]
        return self.project(gate_TD * torch.addmm(shared_RD[row_T], out_TD, weight[:, :width].T))
