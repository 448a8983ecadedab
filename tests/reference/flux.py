"""FLUX's own blocks for one picture, token by token and head by head, open where the rival methods act.

S text tokens, L image tokens, J = S + L with the text first, D channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from tests.reference.attention import Angle, attend, rms_norm, rotate
from tests.reference.blocks import layer_norm
from tests.reference.model import Inputs, backbone_time, rotary_angles
from tests.reference.weights import affine

Linear = Callable[[str, Tensor], Tensor]
"""(name of a layer in the backbone, x) -> its output."""

Core = Callable[[list[Tensor], list[Tensor], list[Tensor]], list[Tensor]]
"""Queries, keys, values of all joint tokens, each (heads, channels of a head) -> outputs (D,)."""


@dataclass(frozen=True)
class Backbone:
    """Weights by diffusers' names, what surrounds the blocks, and the linear map of a layer."""

    transformer: nn.Module
    weights: dict[str, Tensor]

    def linear(self, name: str, x: Tensor) -> Tensor:
        return affine(self.weights, name, x)

    def text(self, sequence_SE: Tensor) -> Tensor:
        return self.transformer.context_embedder(sequence_SE)


def open_backbone(transformer: nn.Module) -> Backbone:
    return Backbone(transformer, dict(transformer.state_dict()))


def modulated(x_XD: Tensor, shift_D: Tensor, scale_D: Tensor) -> Tensor:
    return torch.stack([layer_norm(x_D) * (1 + scale_D) + shift_D for x_D in x_XD])


def heads(
    backbone: Backbone, linear: Linear, block: str, rows_XD: Tensor, names: Sequence[str], norms: Sequence[str]
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Queries, keys and values of some rows, normalised by head, not yet turned."""
    gains = [backbone.weights[f"{block}.attn.{norm}.weight"] for norm in norms]
    channels = len(gains[0])
    query, key, value = (
        [linear(f"{block}.attn.{name}", row_D).reshape(-1, channels) for row_D in rows_XD] for name in names
    )
    return [rms_norm(q, gains[0]) for q in query], [rms_norm(k, gains[1]) for k in key], value


def joint_attention(
    query: list[Tensor], key: list[Tensor], value: list[Tensor], angles: list[Angle], core: Core
) -> Tensor:
    turned = ([rotate(x, *angle) for x, angle in zip(rows, angles, strict=True)] for rows in (query, key))
    return torch.stack(core(*turned, value))


def feed_forward(linear: Linear, name: str, x_XD: Tensor) -> Tensor:
    return linear(f"{name}.net.2", gelu(linear(f"{name}.net.0.proj", x_XD), approximate="tanh"))


@dataclass(frozen=True)
class Pieces:
    """How a method changes a block; each may see its index."""

    linear: Linear
    core: Core = attend
    before_feed_forward: Callable[[int, Tensor, Tensor], Tensor] | None = None
    """(block, image tokens after the attention residual, modulated image tokens before it) -> image tokens."""
    beside_single: Callable[[int, Tensor], Tensor] | None = None
    """(block, image tokens before the block) -> what is added to them behind it."""
    after_single: Callable[[int, Tensor], Tensor] | None = None


def dual(
    backbone: Backbone, index: int, image_LD: Tensor, text_SD: Tensor, time_D: Tensor, angles: list[Angle], how: Pieces
) -> tuple[Tensor, Tensor]:
    block, linear = f"transformer_blocks.{index}", how.linear
    shift, scale, gate, ff_shift, ff_scale, ff_gate = linear(f"{block}.norm1.linear", silu(time_D)).chunk(6)
    t_mod = linear(f"{block}.norm1_context.linear", silu(time_D)).chunk(6)
    image_rows = modulated(image_LD, shift, scale)
    text_rows = modulated(text_SD, t_mod[0], t_mod[1])
    text_names = ("add_q_proj", "add_k_proj", "add_v_proj")
    parts = [
        heads(backbone, linear, block, text_rows, text_names, ("norm_added_q", "norm_added_k")),
        heads(backbone, linear, block, image_rows, ("to_q", "to_k", "to_v"), ("norm_q", "norm_k")),
    ]
    output_JD = joint_attention(*(a + b for a, b in zip(*parts, strict=True)), angles, how.core)
    texts = len(text_SD)
    update = torch.stack([linear(f"{block}.attn.to_out.0", row) for row in output_JD[texts:]])
    image_LD = image_LD + gate * update
    if how.before_feed_forward is not None:
        image_LD = how.before_feed_forward(index, image_LD, image_rows)
    image_LD = image_LD + ff_gate * feed_forward(linear, f"{block}.ff", modulated(image_LD, ff_shift, ff_scale))
    update = torch.stack([linear(f"{block}.attn.to_add_out", row) for row in output_JD[:texts]])
    text_SD = text_SD + t_mod[2] * update
    hidden = modulated(text_SD, t_mod[3], t_mod[4])
    return image_LD, text_SD + t_mod[5] * feed_forward(linear, f"{block}.ff_context", hidden)


def single(
    backbone: Backbone, index: int, image_LD: Tensor, text_SD: Tensor, time_D: Tensor, angles: list[Angle], how: Pieces
) -> tuple[Tensor, Tensor]:
    block, linear, texts = f"single_transformer_blocks.{index}", how.linear, len(text_SD)
    shift, scale, gate = linear(f"{block}.norm.linear", silu(time_D)).chunk(3)
    beside = 0 if how.beside_single is None else how.beside_single(index, image_LD)
    joint_JD = torch.cat([text_SD, image_LD])
    rows = modulated(joint_JD, shift, scale)
    parts = heads(backbone, linear, block, rows, ("to_q", "to_k", "to_v"), ("norm_q", "norm_k"))
    output_JD = joint_attention(*parts, angles, how.core)
    hidden = gelu(linear(f"{block}.proj_mlp", rows), approximate="tanh")
    joint_JD = joint_JD + gate * linear(f"{block}.proj_out", torch.cat([output_JD, hidden], -1))
    image_LD = joint_JD[texts:] + beside
    if how.after_single is not None:
        image_LD = how.after_single(index, image_LD)
    return image_LD, joint_JD[:texts]


def forward(backbone: Backbone, inputs: Inputs, how: Pieces, segments_SE: Tensor | None = None) -> Tensor:
    """The sample (L, C); segments_SE: text tokens put before the prompt's."""
    transformer = backbone.transformer
    time_D = backbone_time(transformer, inputs)[0]
    texts = inputs.encoder_hidden_states[0]
    if segments_SE is not None:
        texts = torch.cat([segments_SE, texts])
    turn = rotary_angles(transformer)
    angles = [turn((0.0, 0.0, 0.0)) for _ in texts] + [turn(tuple(map(float, row))) for row in inputs.img_ids]
    image_LD, text_SD = transformer.x_embedder(inputs.hidden_states[0]), backbone.text(texts)
    for index in range(len(transformer.transformer_blocks)):
        image_LD, text_SD = dual(backbone, index, image_LD, text_SD, time_D, angles, how)
    for index in range(len(transformer.single_transformer_blocks)):
        image_LD, text_SD = single(backbone, index, image_LD, text_SD, time_D, angles, how)
    return transformer.proj_out(transformer.norm_out(image_LD[None], time_D[None]))[0]


def masked(allowed_JJ: Tensor) -> Core:
    """Attention in which token i sees token j where allowed[i, j]."""

    def core(queries: list[Tensor], keys: list[Tensor], values: list[Tensor]) -> list[Tensor]:
        outputs = []
        for row, query in enumerate(queries):
            seen = [j for j in range(len(keys)) if allowed_JJ[row, j]]
            outputs += attend([query], [keys[j] for j in seen], [values[j] for j in seen])
        return outputs

    return core
