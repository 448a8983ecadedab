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
from occlusionformer.model.attention import QueryKeyValue, attend, rotate
from occlusionformer.model.backbone import DUAL_PATHS, SINGLE_PATHS, DualLayers, SingleLayers
from occlusionformer.model.config import BranchConfig
from occlusionformer.model.delta import Deltas, WeightProducts, delta, dense, fold, plain, precise
from occlusionformer.model.density import Density
from occlusionformer.tensors.alignment import query_cosine
from occlusionformer.tensors.compositing import composite_parts, weight_maps
from occlusionformer.tensors.packing import PackedInstances


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchStep:
    """What the layout blocks of one denoising step share.

    time_BD is the layout time embedding of each sample, time_ND that of each instance with its own text. The condition
    is one of them; the indices pick its vectors for layout tokens and rows, None where there is one vector for all.
    Rotations are those of the layout tokens, then those of the rows.
    """

    packed: PackedInstances
    products: WeightProducts
    time_BD: Tensor
    time_ND: Tensor
    condition_CD: Tensor
    token_index: Tensor | None
    row_index: Tensor | None
    rotation_JC: Tensor
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


@dataclass(frozen=True, slots=True)
class Layers:
    """of(attention output (t, D), pairs) gives some pairs' layers, less what all layers of a row share, (R, D)."""

    of: Callable[[Tensor, slice], Tensor]
    shared_RD: Tensor | None = None

    def whole(self, layers_tD: Tensor, row_t: Tensor) -> Tensor:
        return layers_tD if self.shared_RD is None else layers_tD + self.shared_RD[row_t]


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

    def modulation(
        self, layer: nn.Module, name: str, condition_CD: Tensor, parts: int, step: BranchStep
    ) -> tuple[Tensor, ...]:
        return self.deltas[name](layer, F.silu(condition_CD), step.products).chunk(parts, dim=-1)

    def rows(self, image_BLD: Tensor, step: BranchStep) -> Tensor:
        """The covered image tokens."""
        return image_BLD.flatten(0, 1).index_select(0, step.packed.pixel_R)

    def located(self, rows_RD: Tensor, step: BranchStep) -> Tensor:
        """Rows with their place in their own box, where the branch uses it."""
        return rows_RD if self.coordinates is None else rows_RD + self.coordinates(step.coordinates_RF)

    def qkv(
        self, x_RD: Tensor, names: str, layers: DualLayers | SingleLayers, step: BranchStep
    ) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            heads(self.deltas[names + part](getattr(layers, names + part), x_RD, step.products), self.config)
            for part in "qkv"
        )
        return query, key, value

    def folds(self, step: BranchStep, like: Tensor) -> bool:
        """Whether multiplying two weight matrices first is cheaper than applying both to every pair, and as exact."""
        readable = plain(self.project, like) and self.deltas.of("out").readable(like)
        return readable and precise(like) and len(step.packed.owner_T) > 2 * self.config.width

    def composed(self, joint: QueryKeyValue, layers: Layers, step: BranchStep) -> tuple[Tensor, Composed]:
        """Attend and composite, bucket by bucket: layout-token outputs (N, D) and the composited update."""
        packed = step.packed
        head = self.mask_head if step.return_masks else None
        query_ND = None if head is None else head.queries(step.time_ND)
        token_parts: list[Tensor] = []
        cosine_parts: list[Tensor] = []

        def parts() -> Iterator[tuple[slice, Tensor]]:
            for bucket, out_nD, out_tD in attend(joint, packed):
                layers_tD = layers.of(out_tD, bucket.pairs)
                token_parts.append(out_nD)
                if head is not None and query_ND is not None:
                    whole_tD = layers.whole(layers_tD, packed.row_T[bucket.pairs])
                    cosine_parts.append(query_cosine(whole_tD, query_ND, packed, pairs=bucket.pairs, eps=head.eps))
                yield bucket.pairs, layers_tD

        density_ND = None if self.density is None else self.density(step.time_ND)
        update_PD = composite_parts(
            parts(), density_ND, packed, like=joint.value.flatten(1), shared_RD=layers.shared_RD
        )
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
        shift, scale, gate, *_ = mod = self.modulation(layers.modulation, "modulation", step.condition_CD, 6, step)
        rows_RD = layers.norm(self.rows(image_BLD, step))
        rows_RD = torch.addcmul(spread(shift, step.row_index), rows_RD, 1 + spread(scale, step.row_index))
        rows_RD = self.located(rows_RD, step)
        token_mod = self.modulation(layers.context_modulation, "context_modulation", step.condition_CD, 6, step)
        token_mod = tuple(spread(part, step.token_index) for part in token_mod)
        joint = self._joint(layers, rows_RD, self._token_qkv(layers, tokens_ND, token_mod, step), step)
        projected = self._projection(layers.out, rows_RD, step)

        def layer_of(out_tD: Tensor, pairs: slice) -> Tensor:
            layers_tD = projected(out_tD)
            if self.instance_mlp is not None:
                layers_tD = layers_tD + self.instance_mlp(rows_RD[packed.row_T[pairs]])
            return layers_tD * gate[packed.owner_T[pairs]] if config.instance_modulation else layers_tD

        out_ND, composed = self.composed(joint, Layers(layer_of), step)
        if config.instance_modulation:
            image_BLD = torch.add(image_BLD, composed.update_BLD, alpha=step.strength)
        else:
            image_BLD = torch.addcmul(image_BLD, composed.update_BLD, gate[:, None], value=step.strength)
        if config.second_feed_forward != "none":
            image_BLD = self._fed_forward(layers, image_BLD, mod, step)
        tokens_ND = self._token_update(layers, tokens_ND, out_ND, token_mod, step)
        return LayoutBlockOutput(
            image=image_BLD, tokens=tokens_ND, mask_logits=composed.mask_logits, weights=composed.weights
        )

    def _token_qkv(
        self, layers: DualLayers, tokens_ND: Tensor, mod: tuple[Tensor, ...], step: BranchStep
    ) -> QueryKeyValue:
        shift, scale, *_ = mod
        query, key, value = self.qkv(layers.context_norm(tokens_ND) * (1 + scale) + shift, "context_", layers, step)
        if self.config.double_qk_norm:
            query, key = layers.norm_q(query), layers.norm_k(key)
        return QueryKeyValue(layers.context_norm_q(query), layers.context_norm_k(key), value)

    def _joint(self, layers: DualLayers, rows_RD: Tensor, tokens: QueryKeyValue, step: BranchStep) -> QueryKeyValue:
        query, key, value = self.qkv(rows_RD, "", layers, step)
        query = torch.cat([tokens.query, layers.norm_q(query)])
        key = torch.cat([tokens.key, layers.norm_k(key)])
        return QueryKeyValue(
            rotate(query, step.rotation_JC), rotate(key, step.rotation_JC), torch.cat([tokens.value, value])
        )

    def _projection(self, out: nn.Module, like: Tensor, step: BranchStep) -> Callable[[Tensor], Tensor]:
        """project(out(attention)), as one matrix where that pays."""
        readable = dense(out, like) if self.folds(step, like) else None
        if readable is None:
            return lambda out_tD: self.project(self.deltas["out"](out, out_tD, step.products))
        weight, bias = readable
        delta_out = self.deltas.of("out")
        used = (weight, bias, self.project.weight, self.project.bias, *delta_out.weights)
        folded = step.products.of(self, used, lambda: fold(self.project, delta_out.merged(weight), bias))
        return lambda out_tD: F.linear(out_tD, *folded)

    def _fed_forward(self, layers: DualLayers, image_BLD: Tensor, mod: tuple[Tensor, ...], step: BranchStep) -> Tensor:
        if self.config.instance_modulation:
            mod = self.modulation(layers.modulation, "modulation", step.time_BD, 6, step)
        shift, scale, gate = (part[:, None] for part in mod[3:])
        if self.ff_gate is not None:
            gate = gate * self.ff_gate
        if step.packed.num_samples > 1:
            gate = gate * step.packed.populated_B[:, None, None]
        hidden = layers.ff_in(torch.addcmul(shift, layers.ff_norm(image_BLD), 1 + scale))
        update = self.deltas["ff_out"](layers.ff_out, hidden, step.products)
        return torch.addcmul(image_BLD, update, gate, value=step.strength)

    def _token_update(
        self, layers: DualLayers, tokens_ND: Tensor, out_ND: Tensor, mod: tuple[Tensor, ...], step: BranchStep
    ) -> Tensor:
        _, _, gate, ff_shift, ff_scale, ff_gate = mod
        tokens_ND = tokens_ND + gate * self.deltas["context_out"](layers.context_out, out_ND, step.products)
        hidden = layers.context_ff_in(layers.context_ff_norm(tokens_ND) * (1 + ff_scale) + ff_shift)
        return tokens_ND + ff_gate * self.deltas["context_ff_out"](layers.context_ff_out, hidden, step.products)


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
        shift, scale, gate_CD = self.modulation(layers.modulation, "modulation", step.condition_CD, 3, step)
        joint_JD, num_tokens = self._joint(layers.norm, image_BLD, tokens_ND, (shift, scale), step), len(tokens_ND)
        query, key, value = self.qkv(joint_JD, "", layers, step)
        joint = QueryKeyValue(
            rotate(layers.norm_q(query), step.rotation_JC), rotate(layers.norm_k(key), step.rotation_JC), value
        )
        mlp_JH = layers.mlp_act(self.deltas["mlp"](layers.mlp, joint_JD, step.products))
        out_ND, composed = self.composed(joint, self._projection(layers, mlp_JH[num_tokens:], gate_CD, step), step)
        token_update_ND = self.deltas["out"](layers.out, torch.cat([out_ND, mlp_JH[:num_tokens]], -1), step.products)
        return LayoutBlockOutput(
            image=torch.add(image_BLD, composed.update_BLD, alpha=step.strength),
            tokens=tokens_ND + spread(gate_CD, step.token_index) * token_update_ND,
            mask_logits=composed.mask_logits,
            weights=composed.weights,
        )

    def _joint(
        self, norm: nn.Module, image_BLD: Tensor, tokens_ND: Tensor, mod: tuple[Tensor, Tensor], step: BranchStep
    ) -> Tensor:
        """Layout tokens and covered image tokens in one matrix, normalised and modulated."""
        shift, scale = mod
        if step.row_index is None and self.coordinates is None:
            joint_JD = norm(torch.cat([tokens_ND, self.rows(image_BLD, step)]))
            return torch.addcmul(shift, joint_JD, 1 + scale)
        token_scale, token_shift = spread(scale, step.token_index), spread(shift, step.token_index)
        tokens_ND = torch.addcmul(token_shift, norm(tokens_ND), 1 + token_scale)
        rows_RD = norm(self.rows(image_BLD, step))
        rows_RD = torch.addcmul(spread(shift, step.row_index), rows_RD, 1 + spread(scale, step.row_index))
        return torch.cat([tokens_ND, self.located(rows_RD, step)])

    def _projection(self, layers: SingleLayers, mlp_RH: Tensor, gate_CD: Tensor, step: BranchStep) -> Layers:
        """project(gate * out([attention; mlp])), the MLP half once per row where the layer's weight can be read."""
        width, row_T, delta_out = self.config.width, step.packed.row_T, self.deltas.of("out")

        def gate_of(row_t: Tensor) -> Tensor:
            return gate_CD if step.row_index is None else gate_CD[step.row_index[row_t]]

        def whole(out_tD: Tensor, pairs: slice) -> Tensor:
            row_t = row_T[pairs]
            joint_tD = torch.cat([out_tD, mlp_RH[row_t]], -1)
            return self.project(gate_of(row_t) * delta_out(layers.out, joint_tD, step.products))

        readable = dense(layers.out, mlp_RH)
        if readable is None or not delta_out.readable(mlp_RH):
            return Layers(whole)
        weight, bias = readable
        attention_half, mlp_half = delta_out.split(weight, width)
        shared_RD = mlp_half(mlp_RH) + bias
        if gate_CD.shape[0] == 1 and self.folds(step, mlp_RH):
            shared_RD = self.project(gate_CD * shared_RD)
            used = (weight, *delta_out.weights)
            merged = step.products.of(self, used, lambda: delta_out.merged(weight, slice(width)))
            folded = (self.project.weight * gate_CD) @ merged
            return Layers(lambda out_tD, _: F.linear(out_tD, folded), shared_RD)

        def halved(out_tD: Tensor, pairs: slice) -> Tensor:
            row_t = row_T[pairs]
            return self.project(gate_of(row_t) * (attention_half(out_tD) + shared_RD[row_t]))

        return Layers(halved)
