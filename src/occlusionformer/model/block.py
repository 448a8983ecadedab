"""The layout block that follows a backbone block: attend per instance, project, composite, add.

Legend: B samples, L image tokens, P = B * L, N instances, R rows, T pairs, C condition vectors, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlusionformer.model.align import MaskHead
from occlusionformer.model.attention import QueryKeyValue, Rotary, attend, rotate
from occlusionformer.model.backbone import DUAL_PATHS, SINGLE_PATHS, DualLayers, SingleLayers
from occlusionformer.model.config import BranchConfig
from occlusionformer.model.delta import Deltas, delta, dense, fold, plain, precise
from occlusionformer.model.density import Density
from occlusionformer.tensors.alignment import query_cosine
from occlusionformer.tensors.compositing import composite_parts, weight_maps
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """What the layers of a block come to."""

    update_BLD: Tensor
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
        self.deltas = Deltas(
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

    def rows(self, norm: nn.Module, image_BLD: Tensor, shift: Tensor, scale: Tensor, step: BranchStep) -> Tensor:
        """The covered image tokens, normalised and modulated, with box coordinates where the branch uses them."""
        rows_RD = norm(image_BLD.flatten(0, 1).index_select(0, step.packed.pixel_R))
        rows_RD = torch.addcmul(spread(shift, step.row_index), rows_RD, 1 + spread(scale, step.row_index))
        return rows_RD if self.coordinates is None else rows_RD + self.coordinates(step.coordinates_RF)

    def qkv(self, x_RD: Tensor, names: str, layers: DualLayers | SingleLayers) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            heads(self.deltas[names + part](getattr(layers, names + part), x_RD), self.config) for part in "qkv"
        )
        return query, key, value

    def folds(self, step: BranchStep, like: Tensor) -> bool:
        """Whether multiplying two weight matrices first is cheaper than applying both to every pair, and as exact."""
        readable = plain(self.project, like) and self.deltas.of("out").readable(like)
        return readable and precise(like) and len(step.packed.owner_T) > 2 * self.config.width

    def composed(
        self, layer_of: Callable[[Tensor, slice], Tensor], tokens: QueryKeyValue, rows: QueryKeyValue, step: BranchStep
    ) -> tuple[Tensor, Composed]:
        """Attend and composite, bucket by bucket: layout-token outputs (N, D) and the composited update.

        layer_of(attention output (t, D), pairs) gives the layers of some pairs.
        """
        packed = step.packed
        head = self.mask_head if step.return_masks else None
        query_ND = None if head is None else head.queries(step.time_ND)
        token_parts: list[Tensor] = []
        cosine_parts: list[Tensor] = []

        def parts() -> Iterator[tuple[slice, Tensor]]:
            for bucket, out_nD, out_tD in attend(tokens, rows, packed):
                layers_tD = layer_of(out_tD, bucket.pairs)
                token_parts.append(out_nD)
                if head is not None and query_ND is not None:
                    cosine_parts.append(query_cosine(layers_tD, query_ND, packed, pairs=bucket.pairs, eps=head.eps))
                yield bucket.pairs, layers_tD

        density_ND = None if self.density is None else self.density(step.time_ND)
        update_PD = composite_parts(parts(), density_ND, packed, like=rows.value.flatten(1))
        composed = Composed(
            update_BLD=update_PD.unflatten(0, (packed.num_samples, -1)),
            mask_logits=None if head is None else head(torch.cat(cosine_parts), packed),
            weights=weight_maps(density_ND, packed) if step.return_weights else None,
        )
        return torch.cat(token_parts)[packed.layout_slot_N], composed


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

    def forward(self, layers: DualLayers, image_BLD: Tensor, tokens_ND: Tensor, step: BranchStep) -> LayoutBlockOutput:
        packed, config = step.packed, self.config
        shift, scale, gate, *_ = mod = self.modulation(layers.modulation, "modulation", step.row_condition_CD, 6)
        rows_RD = self.rows(layers.norm, image_BLD, shift, scale, step)
        query, key, value = self.qkv(rows_RD, "", layers)
        rows = QueryKeyValue(
            rotate(layers.norm_q(query), step.row_rotary), rotate(layers.norm_k(key), step.row_rotary), value
        )
        token_mod = self.modulation(layers.context_modulation, "context_modulation", step.token_condition_CD, 6)
        token_mod = tuple(spread(part, step.token_index) for part in token_mod)
        tokens = self._token_qkv(layers, tokens_ND, token_mod, step)
        projected = self._projection(layers.out, rows_RD, step)

        def layer_of(out_tD: Tensor, pairs: slice) -> Tensor:
            layers_tD = projected(out_tD)
            if self.instance_mlp is not None:
                layers_tD = layers_tD + self.instance_mlp(rows_RD[pairs])
            return layers_tD * gate[packed.owner_T[pairs]] if config.instance_modulation else layers_tD

        out_ND, composed = self.composed(layer_of, tokens, rows, step)
        if config.instance_modulation:
            image_BLD = torch.add(image_BLD, composed.update_BLD, alpha=step.strength)
        else:
            image_BLD = torch.addcmul(image_BLD, composed.update_BLD, gate[:, None], value=step.strength)
        if config.second_feed_forward != "none":
            image_BLD = self._fed_forward(layers, image_BLD, mod, step)
        tokens_ND = self._token_update(layers, tokens_ND, out_ND, token_mod)
        return LayoutBlockOutput(
            image=image_BLD, tokens=tokens_ND, mask_logits=composed.mask_logits, weights=composed.weights
        )

    def _token_qkv(
        self, layers: DualLayers, tokens_ND: Tensor, mod: tuple[Tensor, ...], step: BranchStep
    ) -> QueryKeyValue:
        shift, scale, *_ = mod
        query, key, value = self.qkv(layers.context_norm(tokens_ND) * (1 + scale) + shift, "context_", layers)
        if self.config.double_qk_norm:
            query, key = layers.norm_q(query), layers.norm_k(key)
        query, key = layers.context_norm_q(query), layers.context_norm_k(key)
        return QueryKeyValue(rotate(query, step.token_rotary), rotate(key, step.token_rotary), value)

    def _projection(self, out: nn.Module, like: Tensor, step: BranchStep) -> Callable[[Tensor], Tensor]:
        """project(out(attention)), as one matrix where that pays."""
        readable = dense(out, like) if self.folds(step, like) else None
        if readable is None:
            return lambda out_tD: self.project(self.deltas["out"](out, out_tD))
        weight, bias = readable
        folded = fold(self.project, self.deltas.of("out").merged(weight), bias)
        return lambda out_tD: F.linear(out_tD, *folded)

    def _fed_forward(self, layers: DualLayers, image_BLD: Tensor, mod: tuple[Tensor, ...], step: BranchStep) -> Tensor:
        if self.config.instance_modulation:
            mod = self.modulation(layers.modulation, "modulation", step.time_BD, 6)
        shift, scale, gate = (part[:, None] for part in mod[3:])
        if self.ff_gate is not None:
            gate = gate * self.ff_gate
        if step.packed.num_samples > 1:
            gate = gate * step.packed.populated_B[:, None, None]
        hidden = layers.ff_in(torch.addcmul(shift, layers.ff_norm(image_BLD), 1 + scale))
        update = self.deltas["ff_out"](layers.ff_out, hidden)
        return torch.addcmul(image_BLD, update, gate, value=step.strength)

    def _token_update(self, layers: DualLayers, tokens_ND: Tensor, out_ND: Tensor, mod: tuple[Tensor, ...]) -> Tensor:
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
        shift, scale, gate_CD = self.modulation(layers.modulation, "modulation", step.row_condition_CD, 3)
        rows_RD = self.rows(layers.norm, image_BLD, shift, scale, step)
        rows = self._qkv(layers, rows_RD, step.row_rotary)
        shift, scale, gate_ND = (
            spread(part, step.token_index)
            for part in self.modulation(layers.modulation, "modulation", step.token_condition_CD, 3)
        )
        modulated_ND = layers.norm(tokens_ND) * (1 + scale) + shift
        tokens = self._qkv(layers, modulated_ND, step.token_rotary)
        layer_of = self._projection(layers, rows_RD, gate_CD, step)
        out_ND, composed = self.composed(layer_of, tokens, rows, step)
        token_mlp = layers.mlp_act(self.deltas["mlp"](layers.mlp, modulated_ND))
        tokens_ND = tokens_ND + gate_ND * self.deltas["out"](layers.out, torch.cat([out_ND, token_mlp], -1))
        image_BLD = torch.add(image_BLD, composed.update_BLD, alpha=step.strength)
        return LayoutBlockOutput(
            image=image_BLD, tokens=tokens_ND, mask_logits=composed.mask_logits, weights=composed.weights
        )

    def _qkv(self, layers: SingleLayers, x_RD: Tensor, rotary: Rotary) -> QueryKeyValue:
        query, key, value = self.qkv(x_RD, "", layers)
        return QueryKeyValue(rotate(layers.norm_q(query), rotary), rotate(layers.norm_k(key), rotary), value)

    def _projection(
        self, layers: SingleLayers, rows_RD: Tensor, gate_CD: Tensor, step: BranchStep
    ) -> Callable[[Tensor, slice], Tensor]:
        """project(gate * out([attention; mlp])), the MLP half once per row where the layer's weight can be read."""
        width, row_T, delta_out = self.config.width, step.packed.row_T, self.deltas.of("out")
        mlp_RH = layers.mlp_act(self.deltas["mlp"](layers.mlp, rows_RD))

        def gate_of(row_t: Tensor) -> Tensor:
            return gate_CD if step.row_index is None else gate_CD[step.row_index[row_t]]

        def whole(out_tD: Tensor, pairs: slice) -> Tensor:
            row_t = row_T[pairs]
            return self.project(gate_of(row_t) * delta_out(layers.out, torch.cat([out_tD, mlp_RH[row_t]], -1)))

        readable = dense(layers.out, rows_RD)
        if readable is None or not delta_out.readable(rows_RD):
            return whole
        weight, bias = readable
        attention_half, mlp_half = delta_out.split(weight, width)
        shared_RD = mlp_half(mlp_RH) + bias
        if gate_CD.shape[0] == 1 and self.folds(step, rows_RD):
            shared_RD = self.project(gate_CD * shared_RD)
            folded = (self.project.weight * gate_CD) @ delta_out.merged(weight, slice(width))
            return lambda out_tD, pairs: torch.addmm(shared_RD.index_select(0, row_T[pairs]), out_tD, folded.T)

        def halved(out_tD: Tensor, pairs: slice) -> Tensor:
            row_t = row_T[pairs]
            return self.project(gate_of(row_t) * (attention_half(out_tD) + shared_RD[row_t]))

        return halved
