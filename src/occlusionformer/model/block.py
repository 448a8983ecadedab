"""The layout block that follows a backbone block: attend per instance, project, composite, add.

Legend: B samples, L image tokens, P = B * L, N instances, R rows, T pairs, t some of them, C condition vectors,
J = N + R, D channels, H = the MLP's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlusionformer.model.align import MaskHead
from occlusionformer.model.appearance import CHANNELS, SAMPLES
from occlusionformer.model.attention import QueryKeyValue, attend, normed_and_rotated
from occlusionformer.model.backbones.borrowed import BorrowedDual, BorrowedSingle
from occlusionformer.model.config import BranchConfig
from occlusionformer.model.delta import Deltas, delta, readable
from occlusionformer.model.density import Density
from occlusionformer.tensors.alignment import query_cosine
from occlusionformer.tensors.compositing import Composite, weight_maps
from occlusionformer.tensors.packing import AttentionBucket, PackedInstances

DUAL_DELTAS = (
    "modulation", "context_modulation", "q", "k", "v", "context_q", "context_k", "context_v", "out", "context_out",
    "ff_out", "context_ff_out",
)  # fmt: skip
"""Layers of a dual-stream block that carry a delta in the branch."""

SINGLE_DELTAS = ("modulation", "mlp", "q", "k", "v", "out")


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchStep:
    """What the layout blocks of one denoising step share.

    time_BD is the layout time embedding of each sample, time_ND that of each instance with its own text. The condition
    is one of them; the indices pick its vectors for layout tokens and rows, None where there is one vector for all.
    Rotations are those of the layout tokens, then those of the rows. coordinates_RF is where the rows lie in their own
    box, appearance_RF what their instance looks like there; None where the branch does not use it.
    """

    packed: PackedInstances
    time_BD: Tensor
    time_ND: Tensor
    condition_CD: Tensor
    token_index: Tensor | None
    row_index: Tensor | None
    rotation_JC: Tensor
    coordinates_RF: Tensor | None
    appearance_RF: Tensor | None
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
    """One vector for each row; None broadcasts the only one there is.

    index_select, here and elsewhere: on a CPU the gradient of indexing in brackets takes ten times as long.
    """
    return vector_CX if index is None else vector_CX.index_select(0, index)


class Composition:
    """Takes the layers of a block bucket by bucket: composites them, and keeps what masks are made of.

    joint: queries, keys and values of [layout tokens; rows].
    """

    def __init__(self, block: LayoutBlock, step: BranchStep, joint: QueryKeyValue) -> None:
        self.packed, self.return_weights = step.packed, step.return_weights
        self.density_ND = None if block.density is None else block.density(step.time_ND)
        self.composite = Composite(self.density_ND, step.packed, like=joint.value.flatten(1))
        self.head = block.mask_head if step.return_masks else None
        self.query_ND = None if self.head is None else self.head.queries(step.time_ND)
        self.token_parts: list[Tensor] = []
        self.cosine_parts: list[Tensor] = []

    def add(self, bucket: AttentionBucket, layers_tD: Tensor, token_nD: Tensor) -> None:
        self.composite.add(bucket.pairs, layers_tD)
        self.token_parts.append(token_nD)
        if self.head is not None and self.query_ND is not None:
            cosine_t = query_cosine(layers_tD, self.query_ND, self.packed, pairs=bucket.pairs, eps=self.head.eps)
            self.cosine_parts.append(cosine_t)

    @property
    def tokens_ND(self) -> Tensor:
        """The layout tokens' attention outputs."""
        return torch.cat(self.token_parts).index_select(0, self.packed.layout_slot_N)

    @property
    def update_BLD(self) -> Tensor:
        return self.composite.blend().unflatten(0, (self.packed.num_samples, -1))

    @property
    def mask_logits(self) -> Tensor | None:
        return None if self.head is None else self.head(torch.cat(self.cosine_parts), self.packed)

    @property
    def weights(self) -> Tensor | None:
        return weight_maps(self.density_ND, self.packed) if self.return_weights else None


class LayoutBlock(nn.Module):
    """What dual and single layout blocks have in common: deltas, density, mask head, output projection, composition."""

    composes = Composition

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
        self.appearance: nn.Linear | None = None
        if config.appearance_side:
            self.appearance = nn.Linear(CHANNELS * SAMPLES**2, config.width, bias=False)
            self.appearance_out = nn.Linear(CHANNELS * SAMPLES**2, config.width, bias=False)
            nn.init.zeros_(self.appearance_out.weight)

    def modulation(self, layer: nn.Module, name: str, condition_CD: Tensor, parts: int) -> tuple[Tensor, ...]:
        chunks: tuple[Tensor, ...] = self.deltas[name](layer, F.silu(condition_CD)).chunk(parts, dim=-1)
        return chunks

    def rows(self, norm: nn.Module, image_BLD: Tensor, shift: Tensor, scale: Tensor, step: BranchStep) -> Tensor:
        """The covered image tokens, normalised and modulated, with their place in their own box where that is used."""
        rows_RD = norm(image_BLD.flatten(0, 1).index_select(0, step.packed.pixel_R))
        rows_RD = torch.addcmul(spread(shift, step.row_index), rows_RD, 1 + spread(scale, step.row_index))
        if self.coordinates is not None:
            rows_RD = rows_RD + self.coordinates(step.coordinates_RF)
        return rows_RD if self.appearance is None else rows_RD + self.appearance(step.appearance_RF)

    def seen(self, layers_tD: Tensor, row_t: Tensor, step: BranchStep) -> Tensor:
        """Layers with what their instance looks like at these rows added, where that is used."""
        if self.appearance is None or step.appearance_RF is None:
            return layers_tD
        return layers_tD + self.appearance_out(step.appearance_RF.index_select(0, row_t))

    def qkv(self, x_RD: Tensor, names: str, layers: BorrowedDual | BorrowedSingle) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of some rows, (R, heads, channels)."""
        heads = (self.config.num_heads, self.config.head_dim)
        query, key, value = (self.deltas[names + part](getattr(layers, names + part), x_RD) for part in "qkv")
        return query.unflatten(-1, heads), key.unflatten(-1, heads), value.unflatten(-1, heads)


class DualLayoutBlock(LayoutBlock):
    """Follows a dual-stream block. Image tokens use the image stream's layers, layout tokens the text stream's."""

    def __init__(self, config: BranchConfig) -> None:
        width, hidden = config.width, config.width * config.mlp_ratio
        sizes = dict.fromkeys(DUAL_DELTAS, (width, width))
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
        self, layers: BorrowedDual, image_BLD: Tensor, tokens_ND: Tensor, step: BranchStep
    ) -> LayoutBlockOutput:
        packed, deltas, own = step.packed, self.deltas, self.config.instance_modulation
        # Image rows and layout tokens are normalised and modulated by time and text.
        shift, scale, gate, *_ = modulation = self.modulation(layers.modulation, "modulation", step.condition_CD, 6)
        of_tokens = self.modulation(layers.context_modulation, "context_modulation", step.condition_CD, 6)
        t_shift, t_scale, t_gate, t_ff_shift, t_ff_scale, t_ff_gate = (spread(m, step.token_index) for m in of_tokens)
        rows_RD = self.rows(layers.norm, image_BLD, shift, scale, step)
        normed_ND = torch.addcmul(t_shift, layers.context_norm(tokens_ND), 1 + t_scale)
        # One query, key and value for each covered token and each layout token.
        query, key, value = self.qkv(rows_RD, "", layers)
        token_query, token_key, token_value = self.qkv(normed_ND, "context_", layers)
        if self.config.double_qk_norm:
            token_query, token_key = layers.norm_q(token_query), layers.norm_k(token_key)
        joint = QueryKeyValue(
            normed_and_rotated([(layers.context_norm_q, token_query), (layers.norm_q, query)], step.rotation_JC),
            normed_and_rotated([(layers.context_norm_k, token_key), (layers.norm_k, key)], step.rotation_JC),
            torch.cat([token_value, value]),
        )
        # Every instance attends alone and becomes a layer; the layers are composited in their order.
        composition = self.composes(self, step, joint)
        for bucket, token_nD, attended_tD in attend(joint, packed):
            layers_tD = self.project(deltas["out"](layers.out, attended_tD))
            if self.instance_mlp is not None:
                layers_tD = layers_tD + self.instance_mlp(rows_RD.index_select(0, packed.row_T[bucket.pairs]))
            if own:
                layers_tD = layers_tD * gate.index_select(0, packed.owner_T[bucket.pairs])
            composition.add(bucket, self.seen(layers_tD, packed.row_T[bucket.pairs], step), token_nD)
        update_BLD = composition.update_BLD if own else composition.update_BLD * gate[:, None]
        image_BLD = torch.add(image_BLD, update_BLD, alpha=step.strength)
        # The feed-forwards: once more for the image tokens, and that of the layout tokens.
        if self.config.second_feed_forward != "none":
            image_BLD = self.fed_forward(layers, image_BLD, modulation, step)
        tokens_ND = tokens_ND + t_gate * deltas["context_out"](layers.context_out, composition.tokens_ND)
        hidden = layers.context_ff_in(torch.addcmul(t_ff_shift, layers.context_ff_norm(tokens_ND), 1 + t_ff_scale))
        tokens_ND = tokens_ND + t_ff_gate * deltas["context_ff_out"](layers.context_ff_out, hidden)
        return LayoutBlockOutput(
            image=image_BLD, tokens=tokens_ND, mask_logits=composition.mask_logits, weights=composition.weights
        )

    def fed_forward(
        self, layers: BorrowedDual, image_BLD: Tensor, modulation: tuple[Tensor, ...], step: BranchStep
    ) -> Tensor:
        """The image stream's feed-forward once more, in the pictures that have instances."""
        if self.config.instance_modulation:
            modulation = self.modulation(layers.modulation, "modulation", step.time_BD, 6)
        shift, scale, gate = (part[:, None] for part in modulation[3:])
        if self.ff_gate is not None:
            gate = gate * self.ff_gate
        if step.packed.num_samples > 1:
            gate = gate * step.packed.populated_B[:, None, None]
        hidden = layers.ff_in(torch.addcmul(shift, layers.ff_norm(image_BLD), 1 + scale))
        update = self.deltas["ff_out"](layers.ff_out, hidden)
        strength = 1.0 if self.config.strength_of == "update" else step.strength
        return torch.addcmul(image_BLD, update, gate, value=strength)


class SingleLayoutBlock(LayoutBlock):
    """Follows a single-stream block: attention and MLP in parallel, both inside the instance."""

    def __init__(self, config: BranchConfig) -> None:
        width, hidden = config.width, config.width * config.mlp_ratio
        sizes = dict.fromkeys(SINGLE_DELTAS, (width, width))
        sizes |= {"modulation": (width, 3 * width), "mlp": (width, hidden), "out": (width + hidden, width)}
        super().__init__(config, sizes)

    def forward(
        self, layers: BorrowedSingle, image_BLD: Tensor, tokens_ND: Tensor, step: BranchStep
    ) -> LayoutBlockOutput:
        packed, delta_out, width = step.packed, self.deltas.of("out"), self.config.width
        # Layout tokens and image rows share all layers.
        shift, scale, gate = self.modulation(layers.modulation, "modulation", step.condition_CD, 3)
        t_shift, t_scale, t_gate = (spread(part, step.token_index) for part in (shift, scale, gate))
        rows_RD = self.rows(layers.norm, image_BLD, shift, scale, step)
        joint_JD = torch.cat([torch.addcmul(t_shift, layers.norm(tokens_ND), 1 + t_scale), rows_RD])
        query, key, value = self.qkv(joint_JD, "", layers)
        joint = QueryKeyValue(
            normed_and_rotated([(layers.norm_q, query)], step.rotation_JC),
            normed_and_rotated([(layers.norm_k, key)], step.rotation_JC),
            value,
        )
        mlp_JH = layers.mlp_act(self.deltas["mlp"](layers.mlp, joint_JD))
        mlp_NH, mlp_RH = mlp_JH.tensor_split([len(tokens_ND)])
        # out([a; m]) = W_a a + W_m m + b: the MLP's half does not depend on the instance and is computed once a row.
        halves = readable(layers.out, mlp_RH)
        shared_RD = delta_out.part(layers.out, mlp_RH, slice(width, None), bias=True) if halves else None
        # Every instance attends alone and becomes a layer; the layers are composited in their order.
        composition = self.composes(self, step, joint)
        for bucket, token_nD, attended_tD in attend(joint, packed):
            row_t = packed.row_T[bucket.pairs]
            if shared_RD is not None:
                out_tD = delta_out.part(layers.out, attended_tD, slice(width)) + shared_RD.index_select(0, row_t)
            else:
                out_tD = delta_out(layers.out, torch.cat([attended_tD, mlp_RH.index_select(0, row_t)], -1))
            gate_tD = gate if step.row_index is None else gate.index_select(0, step.row_index[row_t])
            composition.add(bucket, self.seen(self.project(gate_tD * out_tD), row_t, step), token_nD)
        image_BLD = torch.add(image_BLD, composition.update_BLD, alpha=step.strength)
        update_ND = delta_out(layers.out, torch.cat([composition.tokens_ND, mlp_NH], -1))
        tokens_ND = tokens_ND + t_gate * update_ND
        return LayoutBlockOutput(
            image=image_BLD, tokens=tokens_ND, mask_logits=composition.mask_logits, weights=composition.weights
        )
