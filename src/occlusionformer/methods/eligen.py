"""EliGen (arXiv 2501.01097): every instance's prompt is a text segment of its own that meets only its own tokens.

Segments stand before the global prompt; a mask keeps each from the others and from image tokens outside its region; a
low-rank delta on all linear layers of all blocks teaches the model to obey. There is no order: where regions overlap,
an image token attends to the prompts of all of them.

Legend: B pictures, N instances of the batch, K segments of one picture, G tokens of a segment, S text tokens in all,
L image tokens, J = S + L.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from occlusionformer.layout import Layout
from occlusionformer.methods.eligen_weights import read_lora
from occlusionformer.methods.figures import mean_size
from occlusionformer.methods.published_weights import fill
from occlusionformer.methods.segments import SegmentMethod, SegmentState, put_before_prompt
from occlusionformer.methods.slots import Slots, fill_slots, logits_of
from occlusionformer.model.backbones.flux import DUAL_PATHS, SINGLE_PATHS, DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Linear, Streams, call
from occlusionformer.model.method import ForwardState, Packer, PreparedLayouts, StepInputs, TextNeeds
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.tensors.packing import layout_geometry
from occlusionformer.tensors.sampling import region_at

PIXELS_PER_TOKEN = 16
SAMPLES_PER_TOKEN = 2
"""Points a side at which the published code looks at a token's mask, in the middle of 8 x 8 pixels each."""


class LowRank(nn.Module):
    """Adds up(down(x)) to the output of a layer that reads x; zero at first."""

    def __init__(self, in_features: int, out_features: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor, output: Tensor, factor: Tensor) -> Tensor:
        """output + factor * up(down(x)), (B, .., D), the factor (B, .., 1) taken where the numbers are few."""
        low = self.down(x) * factor
        flat = torch.addmm(output.flatten(0, -2), low.flatten(0, -2), self.up.weight.T)
        return flat.unflatten(0, output.shape[:-1])


def layer_sizes(width: int) -> dict[str, dict[str, tuple[int, int]]]:
    """Inputs and outputs of every linear layer that carries a delta, by kind of block and by diffusers' path."""
    sizes = {
        "modulation": (width, 6 * width), "context_modulation": (width, 6 * width), "ff_in": (width, 4 * width),
        "context_ff_in": (width, 4 * width), "ff_out": (4 * width, width), "context_ff_out": (4 * width, width),
    }  # fmt: skip
    single = {"modulation": (width, 3 * width), "mlp": (width, 4 * width), "out": (5 * width, width)}
    return {
        "dual": {path: sizes.get(name, (width, width)) for name, path in DUAL_PATHS.items()},
        "single": {path: single.get(name, (width, width)) for name, path in SINGLE_PATHS.items()},
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class EligenCondition:
    """Segments: their slots, and the image tokens of each (B, K, L)."""

    slots: Slots
    covers_BKL: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> EligenCondition:
        return EligenCondition(slots=self.slots.to(device, dtype), covers_BKL=self.covers_BKL.to(device))


class Eligen(SegmentMethod):
    """Regional attention and a LoRA over a Flux backbone, which itself stays as it is.

    rank: of the delta on every linear layer of every block; 0 leaves it out. rasteriser "published": a token belongs
    to a region where any of 2 x 2 points in it does, so that small regions may have none; "area": where the region
    covers some of it, and at least one token. delta_without_layout: the delta acts on the negative half of guidance
    too, as the published pipeline has it merged.
    """

    name = "eligen"
    texts = TextNeeds(sequence_tokens="prompt", shortened=True)

    @register_to_config
    def __init__(
        self,
        num_heads: int = 24,
        head_dim: int = 128,
        num_dual: int = 19,
        num_single: int = 38,
        rank: int = 32,
        rasteriser: str = "area",
        delta_without_layout: bool = False,
    ) -> None:
        super().__init__()
        if rasteriser not in ("area", "published"):
            raise ValueError(f"rasteriser: expected 'area' or 'published', got {rasteriser!r}")
        sizes = layer_sizes(num_heads * head_dim)

        def deltas(kind: Literal["dual", "single"]) -> nn.ModuleDict:
            found = {key_of(path): LowRank(*size, rank) for path, size in sizes[kind].items()} if rank else {}
            return nn.ModuleDict(found)

        self.dual = nn.ModuleList([deltas("dual") for _ in range(num_dual)])
        self.single = nn.ModuleList([deltas("single") for _ in range(num_single)])
        self.negative = "null" if delta_without_layout else "none"

    @classmethod
    def load(cls, path: Path, *, num_heads: int = 24, delta_without_layout: bool = True) -> Eligen:
        """The published LoRA (modelscope/EliGen, `model_bf16.safetensors`) in any of its three families of names.

        Where the file has alphas, its first one scales every tensor, as the published loader does. CheckpointError
        names what is missing, unknown or of another shape.
        """
        tensors, shape = read_lora(path)
        method = cls(
            num_heads=num_heads,
            head_dim=shape.width // num_heads,
            num_dual=shape.num_dual,
            num_single=shape.num_single,
            rank=shape.rank,
            rasteriser="published",
            delta_without_layout=delta_without_layout,
        )
        return fill(method, _by_key(tensors), path)

    def packer(self) -> Packer:
        return partial(pack_segments, rasteriser=self.config.rasteriser)

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> ForwardState:
        """The longer text sequence, its ids, and the mask."""
        condition, text_NGE = prepared.condition, prepared.texts.sequence_NSE
        assert isinstance(condition, EligenCondition)
        assert text_NGE is not None
        state = EligenState(self, self._delta_factor(prepared, inputs))
        if inputs.side == "uncond":
            return state
        put_before_prompt(state, condition.slots, text_NGE, inputs, prepared.grid)
        prompt, tokens = inputs.encoder_hidden_states, text_NGE.shape[1]
        allowed_BJJ = allowed(condition, prompt.shape[1], inputs.image_ids.shape[0], segment_tokens=tokens)
        state.attention_mask = _weighed(allowed_BJJ, tokens, prepared, prompt)[:, None]
        return state

    def _delta_factor(self, prepared: PreparedLayouts, inputs: StepInputs) -> Tensor:
        """How much of the delta acts on each picture, (B,): none without instances."""
        return prepared.strength * prepared.condition.slots.populated_B.to(inputs.hidden_states.dtype)

    def figures(self) -> dict[str, float]:
        """Mean size of the deltas' zero-initialised halves."""
        return {"lora_norm": mean_size(self, "up.weight")}


class EligenState(SegmentState):
    """One forward: the delta joins every linear layer."""

    def __init__(self, method: Eligen, factor_B: Tensor) -> None:
        super().__init__()
        self.method, self.factor_B = method, factor_B

    def dual(self, index: int, block: DualBlock, streams: Streams) -> Streams:
        """In pieces, with the delta."""
        linear = self._linear(self.method.dual[index])
        if linear is call and self.rotary is None:
            return block.run(streams)
        streams = self.placed(streams)
        modulated = block.modulate(streams, linear)
        return block.finish(streams, modulated, block.attend(modulated, streams, linear=linear), linear=linear)

    def single(self, index: int, block: SingleBlock, streams: Streams) -> Streams:
        """In pieces, with the delta."""
        linear = self._linear(self.method.single[index])
        if linear is call and self.rotary is None:
            return block.run(streams)
        streams = self.placed(streams)
        modulated = block.modulate(streams, linear)
        return block.finish(streams, modulated, block.attend(modulated, streams, linear=linear), linear=linear)

    def _linear(self, deltas: Any) -> Linear:
        if not len(deltas):
            return call

        def linear(path: str, layer: nn.Module, x: Tensor) -> Tensor:
            factor = self.factor_B.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)
            output: Tensor = deltas[key_of(path)](x, layer(x), factor)
            return output

        return linear


def allowed(condition: EligenCondition, prompt_tokens: int, image_tokens: int, *, segment_tokens: int) -> Tensor:
    """Who attends to whom in [segments; prompt; image], True where, (B, J, J).

    Text meets its own segment alone; a segment and an image token meet where the token is in its region; the global
    prompt and the image meet everywhere, as does the image itself. Empty segments meet nobody but themselves. Image
    tokens behind the canvas, of a reference picture, belong to no region.
    """
    present_BK, covers_BKL = condition.slots.present_BK, condition.covers_BKL
    batch, count = present_BK.shape
    owner_S = torch.arange(count, device=present_BK.device).repeat_interleave(segment_tokens)
    owner_S = torch.cat([owner_S, owner_S.new_full((prompt_tokens,), count)])
    text_SS = owner_S[:, None] == owner_S[None, :]
    covers_BKL = torch.cat([covers_BKL, covers_BKL.new_zeros(batch, count, image_tokens - covers_BKL.shape[2])], 2)
    whole_B1L = covers_BKL.new_ones(batch, 1, image_tokens)
    meets_BSL = torch.cat([covers_BKL & present_BK[:, :, None], whole_B1L], 1)[:, owner_S]
    image_BLL = covers_BKL.new_ones(1, 1, 1).expand(batch, image_tokens, image_tokens)
    upper = torch.cat([text_SS.expand(batch, -1, -1), meets_BSL], 2)
    return torch.cat([upper, torch.cat([meets_BSL.transpose(1, 2), image_BLL], 2)], 1)


def _weighed(allowed_BJJ: Tensor, tokens: int, prepared: PreparedLayouts, like: Tensor) -> Tensor:
    """The mask; an additive one in which image tokens see the segments weaker (strength below 1) or stronger.

    So is it where the last of a segment's tokens stands for several.
    """
    last, slots = prepared.texts.last_stands_for, prepared.condition.slots.index_BK.shape[1]
    if prepared.strength == 1 and last == 1:
        return allowed_BJJ
    mask_BJJ = logits_of(allowed_BJJ, slots, tokens, last, like)
    if prepared.strength != 1:
        texts = allowed_BJJ.shape[-1] - prepared.grid.num_tokens
        mask_BJJ[:, texts:, : slots * tokens] += math.log(prepared.strength)
    return mask_BJJ


def pack_segments(layouts: Sequence[Layout | None], grid: TokenGrid, *, rasteriser: str) -> EligenCondition:
    """Every instance's slot and image tokens."""
    slots = fill_slots(layouts)
    rows = [
        layout_geometry(layout, grid, "area").attends_KL if rasteriser == "area" else sampled_tokens(layout, grid)
        for layout in layouts
        if layout is not None and layout.instances
    ]
    covers_NL = torch.cat([*rows, torch.zeros(0, grid.num_tokens, dtype=torch.bool)])
    return EligenCondition(slots=slots, covers_BKL=slots.spread(covers_NL, covers_NL.new_zeros(grid.num_tokens)))


def sampled_tokens(layout: Layout, grid: TokenGrid) -> Tensor:
    """Tokens that have any of 2 x 2 points in a region, (K, L) bool.

    The published code draws masks at the picture's size and keeps pixels 4, 12, 20, ... of each side.
    """
    points_y = grid.height * SAMPLES_PER_TOKEN
    points_x = grid.width * SAMPLES_PER_TOKEN
    pixels = PIXELS_PER_TOKEN // SAMPLES_PER_TOKEN
    y = (torch.arange(points_y, dtype=torch.float64) * pixels + pixels / 2 + 0.5) / (points_y * pixels)
    x = (torch.arange(points_x, dtype=torch.float64) * pixels + pixels / 2 + 0.5) / (points_x * pixels)
    y_P, x_P = (axis.flatten() for axis in torch.meshgrid(y, x, indexing="ij"))
    rows = []
    for instance in layout.instances:
        box = instance.box
        inside_P = (x_P >= box.x1) & (x_P < box.x2) & (y_P >= box.y1) & (y_P < box.y2)
        if instance.region is not None:
            inside_P &= region_at(instance.region, x_P, y_P)
        cells = inside_P.view(grid.height, SAMPLES_PER_TOKEN, grid.width, SAMPLES_PER_TOKEN)
        rows.append(cells.any(3).any(1).flatten())
    return torch.stack(rows)


def key_of(path: str) -> str:
    """A layer's path as the name of a submodule, which cannot hold dots."""
    return path.replace(".", "_")


def _by_key(tensors: Mapping[tuple[str, int, str, str], Tensor]) -> dict[str, Tensor]:
    return {
        f"{kind}.{index}.{key_of(path)}.{half}.weight": value for (kind, index, path, half), value in tensors.items()
    }
