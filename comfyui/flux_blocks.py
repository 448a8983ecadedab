"""Views of ComfyUI's FLUX blocks: what a layout method borrows from a block, and how it runs the block.

ComfyUI keeps the layers of a block fused, as FLUX was published: queries, keys and values are one layer, in a single
block with the MLP's first. A view lends slices of a call of the whole layer, never of its weights, so that quantised,
offloaded and LoRA-patched layers act as they always do. This file alone knows ComfyUI's names of layers.

Legend: B pictures, L image tokens, S text tokens, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from occlusionformer.model.backbones.borrowed import BorrowedDual, BorrowedSingle
from occlusionformer.model.backbones.streams import Streams

BlockRun = Callable[[dict[str, Any]], Mapping[str, Any]]
"""A block, with the hooks of others around it: ComfyUI's arguments to its results."""


class FusedLayer:
    """One layer that is called once for all slices of its output that are asked for the same input."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self._input: Tensor | None = None
        self._output: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._output is None or self._input is not x:
            self._input, self._output = x, self.layer(x)
        return self._output


class LayerSlice(nn.Module):
    """Some outputs of a fused layer, as a layer of its own."""

    def __init__(self, fused: FusedLayer, outputs: slice) -> None:
        super().__init__()
        self.fused, self.outputs = fused, outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.fused(x)[..., self.outputs]


def sliced(layer: nn.Module, width: int, count: int) -> list[LayerSlice]:
    """The first `count` slices of `width` outputs, and a last one with the rest, which may be empty."""
    fused = FusedLayer(layer)
    edges = [index * width for index in range(count + 1)]
    slices = [LayerSlice(fused, slice(start, start + width)) for start in edges[:-1]]
    return [*slices, LayerSlice(fused, slice(edges[-1], None))]


class DualBlockView:
    """A dual-stream block during one forward, in the hook that ComfyUI calls in its place.

    index: among its kind; position: among all blocks; run: the block; arguments: those of the hook. `results` are what
    the block returned last, for keys that are none of ours.
    """

    def __init__(self, index: int, block: Any, *, position: int, run: BlockRun, arguments: dict[str, Any]) -> None:
        self.index, self.position = index, position
        self._block, self._run, self._arguments = block, run, arguments
        self.results: Mapping[str, Any] = {}

    @property
    def borrowed(self) -> BorrowedDual:
        block = self._block
        width = self._arguments["img"].shape[-1]
        q, k, v, _ = sliced(block.img_attn.qkv, width, 3)
        context_q, context_k, context_v, _ = sliced(block.txt_attn.qkv, width, 3)
        return BorrowedDual(
            norm=block.img_norm1, modulation=block.img_mod.lin,
            context_norm=block.txt_norm1, context_modulation=block.txt_mod.lin,
            q=q, k=k, v=v, context_q=context_q, context_k=context_k, context_v=context_v,
            norm_q=block.img_attn.norm.query_norm, norm_k=block.img_attn.norm.key_norm,
            context_norm_q=block.txt_attn.norm.query_norm, context_norm_k=block.txt_attn.norm.key_norm,
            out=block.img_attn.proj, context_out=block.txt_attn.proj,
            ff_norm=block.img_norm2, ff_in=block.img_mlp[:-1], ff_out=block.img_mlp[-1],
            context_ff_norm=block.txt_norm2, context_ff_in=block.txt_mlp[:-1], context_ff_out=block.txt_mlp[-1],
        )  # fmt: skip

    def run(self, streams: Streams) -> Streams:
        """The whole block, hooks of others included."""
        self.results = self._run({**self._arguments, "img": streams.image_BLD, "txt": streams.text_BSD})
        return replace(streams, text_BSD=self.results["txt"], image_BLD=self.results["img"])


class SingleBlockView:
    """A single-stream block; see DualBlockView. ComfyUI passes one sequence, text first."""

    def __init__(self, index: int, block: Any, *, position: int, run: BlockRun, arguments: dict[str, Any]) -> None:
        self.index, self.position = index, position
        self._block, self._run, self._arguments = block, run, arguments
        self.results: Mapping[str, Any] = {}

    @property
    def borrowed(self) -> BorrowedSingle:
        block = self._block
        q, k, v, mlp = sliced(block.linear1, self._arguments["img"].shape[-1], 3)
        return BorrowedSingle(
            norm=block.pre_norm, modulation=block.modulation.lin, q=q, k=k, v=v,
            norm_q=block.norm.query_norm, norm_k=block.norm.key_norm,
            mlp=mlp, mlp_act=block.mlp_act, out=block.linear2,
        )  # fmt: skip

    def run(self, streams: Streams) -> Streams:
        """The whole block, hooks of others included; it takes the sequence of its arguments."""
        self.results = self._run(self._arguments)
        texts = streams.text_BSD.shape[1]
        joint_BJD = self.results["img"]
        return replace(streams, text_BSD=joint_BJD[:, :texts], image_BLD=joint_BJD[:, texts:])
