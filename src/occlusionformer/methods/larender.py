"""LaRender (ICCV 2025, arXiv 2508.07647) in the joint attention of a Flux backbone: nothing to train.

The published method replaces the cross-attention of a U-Net: each instance's prompt is attended to alone, and the
outputs are volume-rendered as planes in the declared order. A joint softmax over text and image splits exactly into
two attentions merged by their log-sum-exps,

    Attn([t; x]) = lambda A_t + (1 - lambda) A_x,   lambda = sigmoid(LSE_t - LSE_x),

so the same can be done here for the queries of the image. The global prompt is the plane behind all others. The
authors published no code for FLUX; the compositing is theirs and gives their numbers (tensors.planes).

Legend: B pictures, K instances of a picture, Q = K + 1 planes, the last of the global prompt, G text tokens of a plane,
L image tokens, H heads, E channels of a head, J joint tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.methods.segments import SegmentMethod, SegmentState, put_before_prompt
from occlusionformer.methods.slots import Slots, fill_slots
from occlusionformer.model.backbones.flux import DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Attention, Streams
from occlusionformer.model.method import ForwardState, Packer, PreparedLayouts, StepInputs
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.tensors.packing import layout_geometry
from occlusionformer.tensors.planes import Schedule, contributions, densities, normalised, stretched

QUERIES_AT_ONCE = 512
"""Image tokens whose attention is computed in one piece: bounds memory at (B, H, 512, L) numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaRenderCondition:
    """Planes: slots, coverage (B, Q, L), order (B, Q, Q), alpha (B, Q), who attends to what.

    in_front_BQQ[i, j]: plane j is in front of plane i. An empty slot covers nothing and is opaque to nobody.
    """

    slots: Slots
    coverage_BQL: Tensor
    in_front_BQQ: Tensor
    alpha_BQ: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> LaRenderCondition:
        fine = torch.promote_types(dtype, torch.float32)
        return LaRenderCondition(
            slots=self.slots.to(device, dtype),
            coverage_BQL=self.coverage_BQL.to(device, fine),
            in_front_BQQ=self.in_front_BQQ.to(device, fine),
            alpha_BQ=self.alpha_BQ.to(device, fine),
        )


class LaRender(SegmentMethod):
    """Volume rendering of attention outputs, training-free.

    alpha: opacity of an opaque instance at the last step, below 1. schedule: how densities change with time; step and
    number of steps are read from the noise level, and `steps` says how many there are. maps: planes are weighed by how
    much each image token attends to the instance's text, brought to map_minimum..1 (0 as published). Where no order
    is declared between two instances, neither hides the other.
    """

    name = "larender"

    @register_to_config
    def __init__(
        self,
        alpha: float = 0.8,
        schedule: str = "inverse_proportional",
        steps: int = 25,
        maps: bool = True,
        map_minimum: float = 0.0,
    ) -> None:
        super().__init__()
        problems = []
        if not 0 < alpha < 1:
            problems.append(f"alpha: expected a number between 0 and 1, got {alpha}")
        if schedule not in get_args(Schedule):
            problems.append(f"schedule: expected one of {', '.join(get_args(Schedule))}, got {schedule!r}")
        if steps < 1:
            problems.append(f"steps: expected at least 1, got {steps}")
        if not 0 <= map_minimum < 1:
            problems.append(f"map_minimum: expected 0 to less than 1, got {map_minimum}")
        if problems:
            raise ValueError("\n".join(problems))
        self.register_buffer("density", -torch.log1p(-torch.tensor(alpha)))

    def packer(self) -> Packer:
        return partial(pack_planes, alpha=self.config.alpha)

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> ForwardState:
        """The longer text sequence and the densities of this noise level."""
        condition, text_NGE = prepared.condition, prepared.texts.sequence_NSE
        assert isinstance(condition, LaRenderCondition)
        assert text_NGE is not None
        tokens = inputs.encoder_hidden_states.shape[1]
        if text_NGE.shape[1] != tokens:
            raise ValueError(f"text sequences: expected {tokens} tokens as the prompt has, got {text_NGE.shape[1]}")
        steps = self.config.steps
        progress_B1 = (1 - inputs.timestep_B.to(condition.alpha_BQ) + 1 / steps)[:, None]
        sigma_BQ = densities(condition.alpha_BQ, self.config.schedule, progress=progress_B1, steps=steps)
        state = LaRenderState(self, prepared, sigma_BQ, prompt_tokens=tokens)
        put_before_prompt(state, condition.slots, text_NGE, inputs, prepared.grid)
        return state


class LaRenderState(SegmentState):
    """One forward: the core of every block's joint attention is replaced."""

    def __init__(self, method: LaRender, prepared: PreparedLayouts, sigma_BQ: Tensor, *, prompt_tokens: int) -> None:
        super().__init__()
        self.condition: LaRenderCondition = prepared.condition
        self.method, self.sigma_BQ, self.strength = method, sigma_BQ, prepared.strength
        self.prompt_tokens, self.want_weights = prompt_tokens, prepared.want_weights

    def dual(self, index: int, block: DualBlock, streams: Streams) -> Streams:
        """With the attention's core replaced."""
        streams = self.placed(streams)
        modulated = block.modulate(streams)
        attended = block.attend(modulated, streams, attention=self._core(block.position))
        return block.finish(streams, modulated, attended)

    def single(self, index: int, block: SingleBlock, streams: Streams) -> Streams:
        """With the attention's core replaced."""
        streams = self.placed(streams)
        modulated = block.modulate(streams)
        attended = block.attend(modulated, streams, attention=self._core(block.position))
        return block.finish(streams, modulated, attended)

    def _core(self, position: int) -> Attention:
        def core(query_BJHE: Tensor, key_BJHE: Tensor, value_BJHE: Tensor) -> Tensor:
            query, key, value = (x.transpose(1, 2) for x in (query_BJHE, key_BJHE, value_BJHE))
            planes = self.condition.coverage_BQL.shape[1]
            texts = planes * self.prompt_tokens
            text = F.scaled_dot_product_attention(
                query[:, :, :texts], key, value, attn_mask=self._text_mask(texts, key.shape[2])
            )
            image, weight_BQL = self._image(query[:, :, texts:], key, value, texts)
            if self.want_weights:
                self.weights[position] = self._of_instances(weight_BQL)
            return torch.cat([text, image.to(text.dtype)], 2).transpose(1, 2)

        return core

    def _text_mask(self, texts: int, joint: int) -> Tensor:
        """A plane's text meets itself and the image tokens its instance covers, (B, 1, texts, J)."""
        coverage_BQL = self.condition.coverage_BQL
        batch, planes, tokens = coverage_BQL.shape
        owner_S = torch.arange(planes, device=coverage_BQL.device).repeat_interleave(self.prompt_tokens)
        own_SS = (owner_S[:, None] == owner_S).expand(batch, -1, -1)
        meets_BQL = torch.cat([coverage_BQL > 0, coverage_BQL.new_zeros(batch, planes, joint - texts - tokens) > 0], 2)
        meets_BQL[:, -1] = True
        return torch.cat([own_SS, meets_BQL[:, owner_S]], 2)[:, None]

    def _image(self, query: Tensor, key: Tensor, value: Tensor, texts: int) -> tuple[Tensor, Tensor]:
        """Rendered outputs of the image's queries (B, H, L, E) and the planes' weights (B, Q, L)."""
        parts = [
            split_attention(part, key, value, texts, self.prompt_tokens) for part in query.split(QUERIES_AT_ONCE, 2)
        ]
        text_BQHLE = torch.cat([text for text, _, _ in parts], 3)
        image_BHLE = torch.cat([image for _, image, _ in parts], 2)
        share_BQHL = torch.cat([share for _, _, share in parts], 3)
        weight_BQL = self._weights(share_BQHL.mean(2))
        weighed_BQHL = weight_BQL[:, :, None] * share_BQHL
        rendered = (weighed_BQHL[..., None] * text_BQHLE).sum(1)
        rendered = rendered + (1 - weighed_BQHL.sum(1))[..., None] * image_BHLE
        return rendered, weight_BQL

    def _weights(self, share_BQL: Tensor) -> Tensor:
        """How much of every plane is seen at each image token, (B, Q, L); tokens behind the canvas see the prompt's."""
        condition, config = self.condition, self.method.config
        tokens = condition.coverage_BQL.shape[2]
        plane_BQL = condition.coverage_BQL
        if config.maps:
            map_BQL = stretched(share_BQL[:, :, :tokens].to(plane_BQL), minimum=config.map_minimum)
            plane_BQL = torch.cat([plane_BQL[:, :-1] * map_BQL[:, :-1], plane_BQL[:, -1:]], 1)
        weight_BQL = normalised(contributions(self.sigma_BQ, plane_BQL, condition.in_front_BQQ))
        alone_BQL = torch.zeros_like(weight_BQL)
        alone_BQL[:, -1] = 1
        weight_BQL = torch.lerp(alone_BQL, weight_BQL, self.strength)
        rest = share_BQL.shape[2] - tokens
        return torch.cat([weight_BQL, alone_BQL[:, :, :1].expand(-1, -1, rest)], 2) if rest else weight_BQL

    def _of_instances(self, weight_BQL: Tensor) -> Tensor:
        """One row per instance, all pictures in order, (N, L): empty slots are sorted to the end and cut off."""
        slots = self.condition.slots
        tokens = self.condition.coverage_BQL.shape[2]
        rows = weight_BQL[:, :-1, :tokens].flatten(0, 1)
        order = slots.index_BK.flatten().argsort(stable=True)
        return rows[order[: len(slots.box_N4)]]


def pack_planes(layouts: Sequence[Layout | None], grid: TokenGrid, *, alpha: float) -> LaRenderCondition:
    """Coverage, order and opacity of every instance's plane, and of the global prompt's behind them."""
    slots = fill_slots(layouts)
    batch, planes = len(layouts), slots.index_BK.shape[1] + 1
    coverage = torch.zeros(batch, planes, grid.num_tokens, dtype=torch.float64)
    coverage[:, -1] = 1
    in_front = torch.zeros(batch, planes, planes, dtype=torch.bool)
    in_front[:, -1, :-1] = slots.present_BK
    opacity = torch.zeros(batch, planes, dtype=torch.float64)
    opacity[:, -1] = 1
    for picture, layout in enumerate(layouts):
        if layout is not None and layout.instances:
            geometry, count = layout_geometry(layout, grid, "area"), len(layout.instances)
            coverage[picture, :count] = geometry.coverage_KL.double()
            in_front[picture, :count, :count] = geometry.in_front_KK
            opacity[picture, :count] = geometry.opacity_K.double()
    return LaRenderCondition(slots=slots, coverage_BQL=coverage, in_front_BQQ=in_front, alpha_BQ=alpha * opacity)


def split_attention(
    query: Tensor, key: Tensor, value: Tensor, texts: int, segment: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of some queries (B, H, L, E) to every text segment alone, and to the image alone.

    Returns A_t (B, Q, H, L, E), A_x (B, H, L, E) and the share lambda of the text in the joint softmax of each segment
    with the image (B, Q, H, L), in fp32 or finer.
    """
    fine = torch.promote_types(query.dtype, torch.float32)
    scaled = query.to(fine) * query.shape[-1] ** -0.5
    logits = scaled @ key[:, :, texts:].to(fine).transpose(-1, -2)
    image_lse = logits.logsumexp(-1)
    image = (logits - image_lse[..., None]).exp() @ value[:, :, texts:].to(fine)
    text_key = key[:, :, :texts].to(fine).unflatten(2, (-1, segment)).transpose(1, 2)
    text_value = value[:, :, :texts].to(fine).unflatten(2, (-1, segment)).transpose(1, 2)
    logits = scaled[:, None] @ text_key.transpose(-1, -2)
    text_lse = logits.logsumexp(-1)
    text = (logits - text_lse[..., None]).exp() @ text_value
    return text, image, torch.sigmoid(text_lse - image_lse[:, None])
