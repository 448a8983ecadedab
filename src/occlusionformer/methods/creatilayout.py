"""CreatiLayout's SiamLayout for FLUX (arXiv 2412.03859): the layout as a third stream, attended beside the text.

Every instance is a row of text tokens with its box added. In each block the image attends to all of them in an
attention of its own, whose output is added to that of image and text. There is no order.

Legend: B pictures, N instances of the batch, K slots of one picture, G tokens of an instance, M = K * G layout tokens,
L image tokens, D channels, H heads, E channels of a head, F box features.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from occlusionformer.methods.figures import mean_size
from occlusionformer.methods.looks import ids_of_texts, rotary_of
from occlusionformer.methods.published_weights import adapter_tensors, block_indices, fill, required
from occlusionformer.methods.slots import Slots, fourier_features, logits_of, pack_slots, sequence_problems
from occlusionformer.model.attention import attention, normed_and_rotated_batch, rotation
from occlusionformer.model.backbones.flux import DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Streams
from occlusionformer.model.method import (
    Carried,
    ForwardState,
    InstanceTexts,
    Method,
    Packer,
    PreparedLayouts,
    StepInputs,
    TextNeeds,
)

FOURIER_FREQUENCIES, FOURIER_BASE = 8, 100.0
BOX_FEATURES = 4 * 2 * FOURIER_FREQUENCIES
ADAPTER_PARTS = (".position_net.", ".norm1_bbox.", ".bbox_attn.", ".ff_bbox.", ".bbox_forward.", ".bbox_norm.",
                ".bbox_proj_mlp.", ".bbox_proj_out.")  # fmt: skip
"""Parts of the published names that tell the adapter's tensors from the backbone's."""
PUBLISHED_SLOTS = 10


class LayoutEmbedder(nn.Module):
    """Layout token = MLP([text token; box features]); empty slots have learned vectors in the place of both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.null_positive_feature = nn.Parameter(torch.zeros(width))
        self.null_position_feature = nn.Parameter(torch.zeros(BOX_FEATURES))
        inner = width // 2
        self.linears = nn.ModuleDict(
            {"linear_1": nn.Linear(width + BOX_FEATURES, inner), "linear_2": nn.Linear(inner, width)}
        )

    def forward(self, text_NGD: Tensor, slots: Slots) -> Tensor:
        """(B, M, D)."""
        box_NF = fourier_features(slots.box_N4, FOURIER_FREQUENCIES, FOURIER_BASE).to(text_NGD.dtype)
        box_NGF = box_NF[:, None].expand(-1, text_NGD.shape[1], -1)
        null = torch.cat([self.null_positive_feature, self.null_position_feature]).to(text_NGD.dtype)
        instances, empty = (self._mapped(x) for x in (torch.cat([text_NGD, box_NGF], -1), null))
        return slots.spread(instances, empty).flatten(1, 2)

    def _mapped(self, joint: Tensor) -> Tensor:
        tokens: Tensor = self.linears["linear_2"](F.silu(self.linears["linear_1"](joint)))
        return tokens


class Modulation(nn.Module):
    """Adaptive layer norm: shift, scale and further modulations from the time embedding."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(width, parts * width)

    def forward(self, x_BMD: Tensor, temb_BD: Tensor) -> tuple[Tensor, ...]:
        shift, scale, *rest = self.linear(F.silu(temb_BD)).chunk(self.parts, -1)
        return normalised(x_BMD) * (1 + scale[:, None]) + shift[:, None], *rest


def normalised(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class LayoutAttention(nn.Module):
    """Attention of [layout; image]; in dual blocks the layout stream has projections of its own (`added`)."""

    def __init__(self, heads: int, head_dim: int, *, added: bool) -> None:
        super().__init__()
        self.heads, width = heads, heads * head_dim
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.norm_q, self.norm_k = nn.RMSNorm(head_dim, eps=1e-6), nn.RMSNorm(head_dim, eps=1e-6)
        if added:
            self.add_q_proj, self.add_k_proj, self.add_v_proj = (nn.Linear(width, width) for _ in range(3))
            self.norm_added_q, self.norm_added_k = nn.RMSNorm(head_dim, eps=1e-6), nn.RMSNorm(head_dim, eps=1e-6)
            self.to_out = nn.ModuleList([nn.Linear(width, width)])
            self.to_add_out = nn.Linear(width, width)

    def projected(self, x_BMD: Tensor, rotation_MC: Tensor, *, added: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values (B, M, H, E), normalised and rotated."""
        if added:
            layers = (self.add_q_proj, self.add_k_proj, self.add_v_proj, self.norm_added_q, self.norm_added_k)
        else:
            layers = (self.to_q, self.to_k, self.to_v, self.norm_q, self.norm_k)
        query, key, value = (layer(x_BMD).unflatten(-1, (self.heads, -1)) for layer in layers[:3])
        query = normed_and_rotated_batch(layers[3], query, rotation_MC)
        return query, normed_and_rotated_batch(layers[4], key, rotation_MC), value


class DualLayoutStream(nn.Module):
    """The layout stream's part of a dual-stream block."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        width = heads * head_dim
        self.norm1_bbox = Modulation(width, 6)
        self.bbox_attn = LayoutAttention(heads, head_dim, added=True)
        self.ff_bbox = FeedForward(width)
        self.bbox_forward = _zero(nn.Linear(width, width))

    def forward(
        self, image_BLD: Tensor, layout_BMD: Tensor, temb_BD: Tensor, rotation_JC: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """From the modulated image tokens: what is added to the image (B, L, D), and the new layout tokens."""
        normed, gate, ff_shift, ff_scale, ff_gate = self.norm1_bbox(layout_BMD, temb_BD)
        attn = self.bbox_attn
        own = attn.projected(normed, rotation_JC[..., : normed.shape[1], :], added=True)
        seen = attn.projected(image_BLD, rotation_JC[..., normed.shape[1] :, :], added=False)
        query, key, value = (torch.cat(pair, 1) for pair in zip(own, seen, strict=True))
        output = attention(query, key, value, mask)
        layout, image = output.tensor_split([layout_BMD.shape[1]], 1)
        layout_BMD = layout_BMD + gate[:, None] * attn.to_add_out(layout)
        hidden = normalised(layout_BMD) * (1 + ff_scale[:, None]) + ff_shift[:, None]
        return self.bbox_forward(attn.to_out[0](image)), layout_BMD + ff_gate[:, None] * self.ff_bbox(hidden)


class SingleLayoutStream(nn.Module):
    """The layout stream's part of a single-stream block, computed from the block's input."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        width = heads * head_dim
        self.bbox_norm = Modulation(width, 3)
        self.bbox_attn = LayoutAttention(heads, head_dim, added=False)
        self.bbox_proj_mlp = nn.Linear(width, 4 * width)
        self.bbox_proj_out = nn.Linear(5 * width, width)
        self.bbox_forward = _zero(nn.Linear(width, width))

    def forward(
        self, image_BLD: Tensor, layout_BMD: Tensor, temb_BD: Tensor, rotation_JC: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What is added to the image (B, L, D), and the new layout tokens."""
        normed, gate = self.bbox_norm(torch.cat([layout_BMD, image_BLD], 1), temb_BD)
        output = attention(*self.bbox_attn.projected(normed, rotation_JC, added=False), mask)
        mlp = F.gelu(self.bbox_proj_mlp(normed), approximate="tanh")
        update = gate[:, None] * self.bbox_proj_out(torch.cat([output, mlp], -1))
        layout, image = update.tensor_split([layout_BMD.shape[1]], 1)
        return self.bbox_forward(image), layout_BMD + layout


class FeedForward(nn.Module):
    """Two layers with a tanh GELU between, under diffusers' names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.ModuleDict({"proj": nn.Linear(width, 4 * width)})
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        first = self.net[0]
        assert isinstance(first, nn.ModuleDict)
        output: Tensor = self.net[2](F.gelu(first["proj"](x), approximate="tanh"))
        return output


class CreatiLayout(Method):
    """SiamLayout over a Flux backbone.

    null_slots: layout rows that attend even when empty, with learned vectors; the published model has 10, and no more
    instances than that. 0: only instances attend, however many. fixed_ids: all layout tokens lie at (-1, -1, -1);
    otherwise instance i lies at (m, m, m) with m = 1 + i + the greatest image id.
    """

    name = "creatilayout"

    @register_to_config
    def __init__(
        self,
        num_heads: int = 24,
        head_dim: int = 128,
        dual_blocks: tuple[int, ...] = tuple(range(19)),
        single_blocks: tuple[int, ...] = tuple(range(38)),
        instance_tokens: int = 30,
        null_slots: int = 0,
        fixed_ids: bool = True,
    ) -> None:
        super().__init__()
        self.position_net = LayoutEmbedder(num_heads * head_dim)
        self.transformer_blocks = nn.ModuleDict({str(i): DualLayoutStream(num_heads, head_dim) for i in dual_blocks})
        self.single_transformer_blocks = nn.ModuleDict(
            {str(i): SingleLayoutStream(num_heads, head_dim) for i in single_blocks}
        )
        self.texts = TextNeeds(sequence_tokens=instance_tokens, shortened=True)
        self.negative = "null" if null_slots else "none"

    @classmethod
    def load(
        cls, path: Path, *, instance_tokens: int = 30, null_slots: int = PUBLISHED_SLOTS, fixed_ids: bool = True
    ) -> CreatiLayout:
        """The adapter of a published transformer folder or file (HuiZhang0812/CreatiLayout, `SiamLayout_FLUX`).

        The backbone's tensors in it are not read. CheckpointError names what is missing, unknown or of another shape.
        """
        tensors = adapter_tensors(path, lambda key: any(part in f".{key}" for part in ADAPTER_PARTS))
        head_dim = len(required(tensors, ".bbox_attn.norm_q.weight", path))
        width = len(required(tensors, "position_net.null_positive_feature", path))
        method = cls(
            num_heads=width // head_dim,
            head_dim=head_dim,
            dual_blocks=block_indices(tensors, "transformer_blocks"),
            single_blocks=block_indices(tensors, "single_transformer_blocks"),
            instance_tokens=instance_tokens,
            null_slots=null_slots,
            fixed_ids=fixed_ids,
        )
        return fill(method, tensors, path)

    def packer(self) -> Packer:
        return partial(pack_slots, null_slots=self.config.null_slots)

    def text_problems(self, texts: InstanceTexts, count: int) -> list[str]:
        """texts.sequence_NSE holds at least `instance_tokens` tokens of each caption; more are left out."""
        return sequence_problems(texts, count, self.config.instance_tokens)

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> ForwardState:
        """Layout tokens, position tables and mask of one forward."""
        slots, text_NGE = prepared.condition, prepared.texts.sequence_NSE
        assert isinstance(slots, Slots)
        assert text_NGE is not None
        slots = slots.emptied() if inputs.side == "uncond" else slots
        last = max(self.config.instance_tokens - text_NGE.shape[1] + 1, 1)
        text_NGE = text_NGE[:, : self.config.instance_tokens]
        layout_BMD = self.position_net(inputs.text_embedding(text_NGE), slots)
        grid, tokens = prepared.grid, text_NGE.shape[1]
        if self.config.fixed_ids:
            place_M = torch.full((layout_BMD.shape[1],), -1.0, device=layout_BMD.device)
        else:
            first = max(grid.height, grid.width)
            place_M = torch.arange(slots.index_BK.shape[1], device=layout_BMD.device).repeat_interleave(tokens) + first
        image_L3 = inputs.image_ids[: grid.num_tokens].to(place_M)
        ids_M3 = place_M[:, None].expand(-1, 3)
        ids_BM3 = ids_of_texts(ids_M3, text_NGE, slots, grid, inputs)
        if ids_BM3 is None:
            tables = inputs.rotary(torch.cat([ids_M3, image_L3]))
        else:
            tables = rotary_of(torch.cat([ids_BM3, image_L3.to(ids_BM3).expand(len(ids_BM3), -1, -1)], 1), inputs)
        return CreatiLayoutState(
            self,
            Carried(layout_BMD),
            rotation_JC=rotation(*tables),
            mask=self._mask(slots, tokens, last, layout_BMD, grid.num_tokens),
            factor_B11=prepared.strength * slots.active(layout_BMD),
            image_tokens=grid.num_tokens,
        )

    def _mask(self, slots: Slots, tokens: int, last: int, like_BMD: Tensor, others: int) -> Tensor | None:
        """Who is attended to; a number for the logits where the last token of a slot stands for several."""
        joint = like_BMD.shape[1] + others
        if self.config.null_slots:
            allowed = None if last == 1 else torch.ones(1, 1, 1, joint, dtype=torch.bool, device=like_BMD.device)
        else:
            allowed = slots.mask(tokens, others)
        if allowed is None or last == 1:
            return allowed
        return logits_of(allowed, slots.index_BK.shape[1], tokens, last, like_BMD)

    def figures(self) -> dict[str, float]:
        """Mean size of the zero-initialised output layers, which says whether the adapter acts."""
        return {"output_norm": mean_size(self, "bbox_forward.weight")}


class CreatiLayoutState(ForwardState):
    """One forward: the layout stream runs beside the blocks."""

    def __init__(
        self,
        method: CreatiLayout,
        layout: Carried,
        *,
        rotation_JC: Tensor,
        mask: Tensor | None,
        factor_B11: Tensor,
        image_tokens: int,
    ) -> None:
        super().__init__()
        self.method, self.layout = method, layout
        self.rotation_JC, self.mask, self.factor_B11, self.image_tokens = rotation_JC, mask, factor_B11, image_tokens

    def dual(self, index: int, block: DualBlock, streams: Streams) -> Streams:
        """The layout's attention output joins the image before its feed-forward."""
        if str(index) not in self.method.transformer_blocks:
            return block.run(streams)
        modulated = block.modulate(streams)
        stream = self.method.transformer_blocks[str(index)]
        update_BLD = self._update(block.position, stream, modulated.image_BLD, streams.temb_BD)
        return block.finish(
            streams,
            modulated,
            block.attend(modulated, streams),
            before_feed_forward=lambda image_BLD: _added(image_BLD, update_BLD),
        )

    def single(self, index: int, block: SingleBlock, streams: Streams) -> Streams:
        """The layout's update is computed from the block's input and added to its output."""
        if str(index) not in self.method.single_transformer_blocks:
            return block.run(streams)
        stream = self.method.single_transformer_blocks[str(index)]
        update_BLD = self._update(block.position, stream, streams.image_BLD, streams.temb_BD)
        streams = block.run(streams)
        return streams.with_canvas(streams.canvas(self.image_tokens) + update_BLD)

    def _update(self, position: int, stream: nn.Module, image_BLD: Tensor, temb_BD: Tensor) -> Tensor:
        layout_BMD = self.layout.before(position)
        canvas_BLD = image_BLD[:, : self.image_tokens]
        update_BLD, layout_BMD = stream(canvas_BLD, layout_BMD, temb_BD, self.rotation_JC, self.mask)
        self.layout.put(position, layout_BMD)
        scaled: Tensor = self.factor_B11 * update_BLD
        return scaled


def _added(image_BLD: Tensor, update_BLD: Tensor) -> Tensor:
    """A reference picture's tokens may follow those of the canvas; they are left alone."""
    rest = image_BLD[:, update_BLD.shape[1] :]
    added = image_BLD[:, : update_BLD.shape[1]] + update_BLD
    return torch.cat([added, rest], 1) if rest.shape[1] else added


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
