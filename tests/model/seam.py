"""A small method that acts at every hook, each by one learnt number, over the tiny backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from occlusionformer.layout import Layout
from occlusionformer.model.backbones.flux_transformer import LayoutFluxTransformer2DModel
from occlusionformer.model.method import (
    Carried,
    ForwardState,
    InstanceTexts,
    Method,
    PreparedLayouts,
    StepInputs,
)
from occlusionformer.tensors.grid import TokenGrid
from tests.model.tiny import BACKBONE, GRID, Picture, random_inputs, randomise

HOOKS = ("text", "before", "beside", "after", "attention", "linear")


def inside(layouts: Sequence[Layout | None], grid: TokenGrid) -> Tensor:
    """(B, L, 1): 1 in the tokens that some box touches."""
    marks = torch.zeros(len(layouts), grid.height, grid.width)
    for mark, layout in zip(marks, layouts, strict=True):
        for box in [] if layout is None else [instance.box for instance in layout.instances]:
            rows = slice(int(box.y1 * grid.height), int(box.y2 * grid.height) + 1)
            mark[rows, int(box.x1 * grid.width) : int(box.x2 * grid.width) + 1] = 1
    return marks.flatten(1)[..., None]


class Marker(Method):
    """Adds a constant to the tokens inside boxes, at the hook it is told: the seam's own method."""

    name = "marker"

    @register_to_config
    def __init__(self, hook: str = "after") -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def packer(self):
        return inside

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> MarkerState:
        return MarkerState(self, prepared, inputs)


class MarkerState(ForwardState):
    def __init__(self, method: Marker, prepared: PreparedLayouts, inputs: StepInputs) -> None:
        super().__init__()
        self.hook, self.prepared, self.sides = method.config.hook, prepared, inputs.side
        self.mark = prepared.condition * method.amount.to(prepared.dtype) * prepared.strength
        self.direction = torch.arange(16, dtype=prepared.dtype).sin()
        self.seen: list[int] = []
        self.carried = Carried(torch.zeros((), dtype=prepared.dtype))
        if self.hook == "text":
            texts = inputs.encoder_hidden_states
            self.encoder_hidden_states = torch.cat([texts, texts + method.amount.to(texts.dtype)], 1)
            self.text_ids = torch.cat([inputs.text_ids, inputs.text_ids])
            tokens = 2 * texts.shape[1] + inputs.hidden_states.shape[1]
            mask = torch.ones(len(texts), 1, tokens, tokens, dtype=torch.bool)
            mask[torch.tensor(prepared.counts) == 0, :, :, texts.shape[1] : 2 * texts.shape[1]] = False
            self.attention_mask = mask

    def linear(self, path: str, layer: nn.Module, x: Tensor) -> Tensor:
        factor = 1 + self.mark.mean((1, 2))
        return layer(x) * factor.reshape(-1, *[1] * (x.dim() - 1))

    def core(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        score = torch.einsum("bqhe,bkhe->bhqk", query, key) * query.shape[-1] ** -0.5
        output = torch.einsum("bhqk,bkhe->bqhe", score.softmax(-1), value)
        return output * (1 + self.mark.mean((1, 2)))[:, None, None, None]

    def added(self, image: Tensor) -> Tensor:
        tokens = self.mark.shape[1]
        return torch.cat([image[:, :tokens] + self.mark * self.direction, image[:, tokens:]], 1)

    def act(self, view, streams):
        self.seen.append(view.position)
        count = self.carried.before(view.position)
        self.carried.put(view.position, count + self.mark.sum())
        self.mask_logits[view.position] = (count + self.mark.sum()).reshape(1)
        if self.hook == "after":
            after = view.run(streams)
            return after.with_canvas(after.canvas(self.mark.shape[1]) + self.mark * self.direction)
        if self.hook == "text":
            return view.run(streams)
        linear = {"linear": self.linear} if self.hook == "linear" else {}
        modulated = view.modulate(streams, **linear)
        core = self.core if self.hook == "attention" else None
        attended = view.attend(modulated, streams, attention=core, **linear)
        return view, streams, modulated, attended, linear

    def dual(self, index, block, streams):
        done = self.act(block, streams)
        if not isinstance(done, tuple):
            return done
        _, streams, modulated, attended, linear = done
        put = {"before_feed_forward": self.added} if self.hook == "before" else {}
        return block.finish(streams, modulated, attended, **put, **linear)

    def single(self, index, block, streams):
        done = self.act(block, streams)
        if not isinstance(done, tuple):
            return done
        _, streams, modulated, attended, linear = done
        extra = {}
        if self.hook == "beside":
            extra = {"extra_BLD": self.added(torch.zeros_like(streams.image_BLD))}
        return block.finish(streams, modulated, attended, **extra, **linear)


def tiny_transformer(seed: int = 0, **changes) -> LayoutFluxTransformer2DModel:
    transformer = LayoutFluxTransformer2DModel(**{**BACKBONE, **changes}).eval()
    randomise(transformer, seed)
    return transformer


def arguments(batch: int = 1, *, dtype: torch.dtype = torch.float32, **options) -> dict[str, Tensor]:
    """Those of the transformer's forward, random."""
    inputs = random_inputs(batch, **options)
    named = {name: getattr(inputs, name) for name in inputs.__slots__}
    return {name: value.to(dtype) for name, value in named.items() if isinstance(value, Tensor)}


def prepared(
    pictures: list[Picture | None],
    hook: str = "after",
    *,
    grid: TokenGrid = GRID,
    dtype: torch.dtype = torch.float32,
    method: Method | None = None,
) -> PreparedLayouts:
    layouts = [None if picture is None else picture.layout(grid) for picture in pictures]
    ready = (method or Marker(hook)).prepare(layouts, InstanceTexts(), grid, device="cpu", dtype=dtype)
    return replace(ready, want_masks=True)
