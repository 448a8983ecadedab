"""GLIGEN's gated self-attention (arXiv 2301.07093) in the blocks of a Flux backbone.

Every instance is one grounding token of its text and its box. Behind each block's attention the image tokens attend
to themselves and to all grounding tokens, in a layer that a gate, zero at first, lets in. There is no order. The
authors published no weights for FLUX; the layer itself is theirs, and reads theirs.

Legend: B pictures, N instances of the batch, K slots of one picture, T grounding tokens of each, L image tokens,
D channels, H heads, P pooled text, C channels of a grounding token, F box features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from occlusionformer.methods.figures import mean_size
from occlusionformer.methods.looks import look_rows, looks_in_boxes
from occlusionformer.methods.slots import Slots, fourier_features, pack_slots, sequence_problems
from occlusionformer.model.attention import attention, rotate_batch, rotation
from occlusionformer.model.backbones.flux import DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Streams
from occlusionformer.model.method import (
    ForwardState,
    InstanceTexts,
    Method,
    Packer,
    PreparedLayouts,
    StepInputs,
    TextNeeds,
)
from occlusionformer.tensors.files import CheckpointError, check_tensors

FOURIER_FREQUENCIES, FOURIER_BASE = 8, 100.0
BOX_FEATURES = 4 * 2 * FOURIER_FREQUENCIES
INNER_WIDTH = 512
"""Of the network that makes grounding tokens, whatever their own width."""
PUBLISHED_SLOTS = 30


class GroundingTokens(nn.Module):
    """Grounding token = MLP([text; box features]); empty slots have learned vectors in the place of both."""

    def __init__(self, pooled_width: int, token_width: int) -> None:
        super().__init__()
        self.null_positive_feature = nn.Parameter(torch.zeros(pooled_width))
        self.null_position_feature = nn.Parameter(torch.zeros(BOX_FEATURES))
        self.linears = nn.Sequential(
            nn.Linear(pooled_width + BOX_FEATURES, INNER_WIDTH), nn.SiLU(), nn.Linear(INNER_WIDTH, INNER_WIDTH),
            nn.SiLU(), nn.Linear(INNER_WIDTH, token_width),
        )  # fmt: skip

    def forward(self, text_NTP: Tensor, slots: Slots) -> Tensor:
        """(B, K * T, C), of T texts of every instance."""
        box_NF = fourier_features(slots.box_N4, FOURIER_FREQUENCIES, FOURIER_BASE).to(text_NTP.dtype)
        box_NTF = box_NF[:, None].expand(-1, text_NTP.shape[1], -1)
        parts = [
            slots.spread(text_NTP, self.null_positive_feature),
            slots.spread(box_NTF, self.null_position_feature),
        ]
        tokens: Tensor = self.linears(torch.cat(parts, -1).flatten(1, 2))
        return tokens


class SelfAttention(nn.Module):
    """Attention without biases in its projections, under diffusers' names."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, width = heads, heads * head_dim
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x_BJD: Tensor, rotation_JC: Tensor | None, mask: Tensor | None) -> Tensor:
        query, key, value = (
            layer(x_BJD).unflatten(-1, (self.heads, -1)) for layer in (self.to_q, self.to_k, self.to_v)
        )
        if rotation_JC is not None:
            query, key = rotate_batch(query, rotation_JC), rotate_batch(key, rotation_JC)
        joined: Tensor = self.to_out[0](attention(query, key, value, mask))
        return joined


class GatedFeedForward(nn.Module):
    """GEGLU with the exact GELU, four times as wide inside, under diffusers' names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.ModuleDict({"proj": nn.Linear(width, 8 * width)})
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        first = self.net[0]
        assert isinstance(first, nn.ModuleDict)
        hidden, gate = first["proj"](x).chunk(2, -1)
        output: Tensor = self.net[2](hidden * F.gelu(gate))
        return output


class GatedSelfAttention(nn.Module):
    """x + tanh(a) SA([x; W o])[image] and then + tanh(d) FF(.); both gates start at 0.

    open_gates: they start at tanh(1), and the outputs of SA and FF at 0.
    """

    def __init__(self, heads: int, head_dim: int, token_width: int, *, open_gates: bool = False) -> None:
        super().__init__()
        width = heads * head_dim
        self.linear = nn.Linear(token_width, width)
        self.attn = SelfAttention(heads, head_dim)
        self.ff = GatedFeedForward(width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        first = torch.tensor(float(open_gates))
        self.alpha_attn, self.alpha_dense = nn.Parameter(first.clone()), nn.Parameter(first.clone())
        if open_gates:
            for parameter in (*self.attn.to_out.parameters(), *self.ff.net[2].parameters()):
                nn.init.zeros_(parameter)

    def forward(
        self,
        image_BLD: Tensor,
        tokens_BKC: Tensor,
        *,
        factor: Tensor | float = 1.0,
        rotation_JC: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The image tokens after the layer; factor weighs both of its parts (GLIGEN's beta)."""
        joint_BJD = self.norm1(torch.cat([image_BLD, self.linear(tokens_BKC)], 1))
        attended = self.attn(joint_BJD, rotation_JC, mask)[:, : image_BLD.shape[1]]
        image_BLD = image_BLD + factor * self.alpha_attn.tanh() * attended
        return image_BLD + factor * self.alpha_dense.tanh() * self.ff(self.norm2(image_BLD))


class Gligen(Method):
    """Gated self-attention over a Flux backbone.

    In dual blocks the layer stands between attention and feed-forward, as published; single blocks have no such place,
    so there it follows the block. null_slots: grounding tokens that attend even when empty, with learned vectors; the
    published model has 30, and no more instances than that. 0: only instances attend, however many. rotary: positions
    for the layer's attention, at an instance the middle of its box; published U-Nets need none, but FLUX's tokens do
    not carry their place. looks: rows of an instance's text that show what it looks like are grounding tokens too, each
    at its place in the box, for a backbone that reads such rows; text and pooled vector must have one width.
    open_gates: a new method starts with gates open, behind layers whose outputs are zero, for short trainings: gates
    that start at zero may stay near it for hundreds of steps, and what is learned behind them turns with their signs.
    """

    name = "gligen"
    texts = TextNeeds(pooled=True)

    @register_to_config
    def __init__(  # noqa: PLR0913 (diffusers learns the stored settings from this signature)
        self,
        num_heads: int = 24,
        head_dim: int = 128,
        pooled_dim: int = 768,
        token_width: int = 768,
        dual_blocks: tuple[int, ...] = tuple(range(19)),
        single_blocks: tuple[int, ...] = tuple(range(38)),
        null_slots: int = 0,
        rotary: bool = True,
        looks: bool = False,
        open_gates: bool = False,
    ) -> None:
        super().__init__()
        self.position_net = GroundingTokens(pooled_dim, token_width)

        def layers(blocks: tuple[int, ...]) -> nn.ModuleDict:
            layer = partial(GatedSelfAttention, num_heads, head_dim, token_width, open_gates=open_gates)
            return nn.ModuleDict({str(i): layer() for i in blocks})

        self.dual, self.single = layers(dual_blocks), layers(single_blocks)
        self.texts = TextNeeds(pooled=True, sequence_tokens="prompt" if looks else 0)
        self.negative = "null" if null_slots else "none"

    def packer(self) -> Packer:
        return partial(pack_slots, null_slots=self.config.null_slots)

    def text_problems(self, texts: InstanceTexts, count: int) -> list[str]:
        """texts.pooled_NP holds one vector of each caption."""
        if self.config.looks:
            if problems := sequence_problems(texts, count, 1):
                return problems
            assert texts.sequence_NSE is not None
            width, wanted = texts.sequence_NSE.shape[-1], self.config.pooled_dim
            if width != wanted:
                return [f"text sequences: expected a width of {wanted}, as pooled texts have, got {width}"]
        expected = (count, self.config.pooled_dim)
        given = None if texts.pooled_NP is None else tuple(texts.pooled_NP.shape)
        return [] if given == expected else [f"pooled text: expected one row per instance, {expected}, got {given}"]

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> ForwardState:
        """Grounding tokens, position tables and mask of one forward."""
        slots, text_NP = prepared.condition, prepared.texts.pooled_NP
        assert isinstance(slots, Slots)
        assert text_NP is not None
        slots = slots.emptied() if inputs.side == "uncond" else slots
        rows = look_rows(inputs) if self.config.looks else None
        text_NTP = text_NP[:, None]
        if rows is not None:
            assert prepared.texts.sequence_NSE is not None
            text_NTP = torch.cat([text_NTP, prepared.texts.sequence_NSE[:, rows]], 1)
        tokens_BKC = self.position_net(text_NTP, slots)
        grid = prepared.grid
        return GligenState(
            self,
            tokens_BKC=tokens_BKC,
            rotation_BJC=self._rotation(slots, prepared, inputs) if self.config.rotary else None,
            mask=None if self.config.null_slots else slots.mask(text_NTP.shape[1], grid.num_tokens, slots_first=False),
            factor_B11=prepared.strength * slots.active(tokens_BKC),
            image_tokens=grid.num_tokens,
        )

    def _rotation(self, slots: Slots, prepared: PreparedLayouts, inputs: StepInputs) -> Tensor:
        """Of image tokens, then slots; an instance lies at the middle of its box, an empty slot at the first token."""
        grid, batch = prepared.grid, len(slots.index_BK)
        x_N = (slots.box_N4[:, 0] + slots.box_N4[:, 2]) / 2 * grid.width
        y_N = (slots.box_N4[:, 1] + slots.box_N4[:, 3]) / 2 * grid.height
        ids_N3 = torch.stack([torch.zeros_like(x_N), y_N, x_N], -1).float()
        ids_NT3 = ids_N3[:, None]
        if self.config.looks and inputs.text_places:
            ids_NT3 = torch.cat([ids_NT3, looks_in_boxes(slots.box_N4, grid, inputs).to(ids_NT3)], 1)
        ids_BK3 = slots.spread(ids_NT3, ids_NT3.new_zeros(())).flatten(1, 2)
        image_BL3 = inputs.image_ids[: grid.num_tokens].float()[None].expand(batch, -1, -1)
        ids = torch.cat([image_BL3, ids_BK3], 1)
        return rotation(*inputs.rotary(ids.flatten(0, 1))).unflatten(0, (batch, -1))

    def figures(self) -> dict[str, float]:
        """Mean opening of the attention gates: 0 at first."""
        return {"gate": mean_size(self, "alpha_attn", lambda gate: gate.tanh().abs())}


class GligenState(ForwardState):
    """One forward: the gated layers run in the blocks."""

    def __init__(
        self,
        method: Gligen,
        *,
        tokens_BKC: Tensor,
        rotation_BJC: Tensor | None,
        mask: Tensor | None,
        factor_B11: Tensor,
        image_tokens: int,
    ) -> None:
        super().__init__()
        self.method, self.tokens_BKC, self.rotation_BJC = method, tokens_BKC, rotation_BJC
        self.mask, self.factor_B11, self.image_tokens = mask, factor_B11, image_tokens

    def dual(self, index: int, block: DualBlock, streams: Streams) -> Streams:
        """Between the attention and the feed-forward."""
        if str(index) not in self.method.dual:
            return block.run(streams)
        modulated = block.modulate(streams)
        return block.finish(
            streams,
            modulated,
            block.attend(modulated, streams),
            before_feed_forward=self._gated(self.method.dual[str(index)]),
        )

    def single(self, index: int, block: SingleBlock, streams: Streams) -> Streams:
        """After the block."""
        streams = block.run(streams)
        if str(index) not in self.method.single:
            return streams
        return streams.with_canvas(self._gated(self.method.single[str(index)])(streams.canvas(self.image_tokens)))

    def _gated(self, layer: nn.Module) -> Callable[[Tensor], Tensor]:
        def gated(image_BLD: Tensor) -> Tensor:
            canvas, rest = image_BLD[:, : self.image_tokens], image_BLD[:, self.image_tokens :]
            canvas = layer(
                canvas, self.tokens_BKC, factor=self.factor_B11, rotation_JC=self.rotation_BJC, mask=self.mask
            )
            return torch.cat([canvas, rest], 1) if rest.shape[1] else canvas

        return gated


def load_gated_layer(
    tensors: Mapping[str, Tensor], heads: int, source: str | Path
) -> tuple[GroundingTokens, GatedSelfAttention]:
    """The published parts that carry over: `position_net.*` and one `fuser.*`, under diffusers' names.

    CheckpointError names what is missing, unknown or of another shape.
    """
    for name in ("fuser.linear.weight", "position_net.null_positive_feature"):
        if name not in tensors:
            raise CheckpointError(source, [f"{name}: missing"])
    width, token_width = tensors["fuser.linear.weight"].shape
    parts = nn.ModuleDict(
        {
            "position_net": GroundingTokens(len(tensors["position_net.null_positive_feature"]), token_width),
            "fuser": GatedSelfAttention(heads, width // heads, token_width),
        }
    )
    check_tensors(source, tensors, {key: value.shape for key, value in parts.state_dict().items()})
    parts.load_state_dict(dict(tensors))
    tokens, layer = parts["position_net"], parts["fuser"]
    assert isinstance(tokens, GroundingTokens)
    assert isinstance(layer, GatedSelfAttention)
    return tokens.eval(), layer.eval()
