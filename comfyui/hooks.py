"""The hooks that ComfyUI calls in place of FLUX's blocks while a layout acts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from occlusionformer.model.backbones.streams import Streams
from occlusionformer.model.method import ForwardState

from .flux_blocks import BlockRun, DualBlockView, SingleBlockView
from .flux_model import cos_and_sin

Hook = Callable[[dict[str, Any], dict[str, Any]], Mapping[str, Any]]
"""ComfyUI's contract: (arguments of the block, {"original_block": the block}) -> its results."""


class Passage:
    """What the hooks of one forward share: how many tokens of the joint sequence are text, and position tables."""

    def __init__(self) -> None:
        self.texts: int | None = None
        self._table: Tensor | None = None
        self._rotary: tuple[Tensor, Tensor] | None = None

    def rotary(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin (J, E) of the joint sequence."""
        if self._rotary is None or self._table is not table:
            self._table, self._rotary = table, cos_and_sin(table[0, 0])
        return self._rotary


@dataclass(frozen=True, kw_only=True)
class BlockHook:
    """What two kinds of blocks have in common."""

    state: ForwardState
    passage: Passage
    block: Any
    index: int
    position: int
    inner: Hook | None

    def around(self, extra: dict[str, Any]) -> BlockRun:
        """The block as it would run without us: with the hook of another node, if there is one."""
        original: BlockRun = extra["original_block"]
        inner = self.inner
        return original if inner is None else lambda arguments: inner(arguments, extra)


class DualHook(BlockHook):
    """In place of a dual-stream block."""

    def __call__(self, arguments: dict[str, Any], extra: dict[str, Any]) -> Mapping[str, Any]:
        self.passage.texts = arguments["txt"].shape[1]
        streams = Streams(
            text_BSD=arguments["txt"],
            image_BLD=arguments["img"],
            temb_BD=arguments["vec"],
            rotary=self.passage.rotary(arguments["pe"]),
        )
        view = DualBlockView(
            self.index, self.block, position=self.position, run=self.around(extra), arguments=arguments
        )
        streams = self.state.dual(self.index, view, streams)
        return {**view.results, "img": streams.image_BLD, "txt": streams.text_BSD}


class SingleHook(BlockHook):
    """In place of a single-stream block."""

    def __call__(self, arguments: dict[str, Any], extra: dict[str, Any]) -> Mapping[str, Any]:
        joint_BJD, texts = arguments["img"], self._texts(arguments)
        streams = Streams(
            text_BSD=joint_BJD[:, :texts],
            image_BLD=joint_BJD[:, texts:],
            temb_BD=arguments["vec"],
            rotary=self.passage.rotary(arguments["pe"]),
        )
        view = SingleBlockView(
            self.index, self.block, position=self.position, run=self.around(extra), arguments=arguments
        )
        streams = self.state.single(self.index, view, streams)
        return {**view.results, "img": torch.cat([streams.text_BSD, streams.image_BLD], 1)}

    def _texts(self, arguments: dict[str, Any]) -> int:
        """How many tokens are text: as newer releases say, else as the dual-stream blocks had it."""
        options = arguments.get("transformer_options") or {}
        told = options.get("img_slice")
        texts = self.passage.texts if told is None else int(told[0])
        assert texts is not None, "a single-stream block before any dual-stream block"
        return texts


def with_hooks(
    options: Mapping[str, Any], state: ForwardState, flux: Any, *, dual: Collection[int], single: Collection[int]
) -> dict[str, Any]:
    """transformer_options of one forward in which some blocks hand themselves to the state; hooks there stay inside.

    The first dual-stream block always has a hook: single-stream ones are told by it how many tokens are text.
    """
    replaced = options.get("patches_replace", {})
    before: Mapping[Any, Hook] = replaced.get("dit", {})
    passage, hooks = Passage(), dict(before)
    for kind, hook, blocks, first, chosen in (
        ("double_block", DualHook, flux.double_blocks, 0, {0, *dual}),
        ("single_block", SingleHook, flux.single_blocks, len(flux.double_blocks), single),
    ):
        for index in chosen:
            hooks[kind, index] = hook(
                state=state, passage=passage, block=blocks[index], index=index, position=first + index,
                inner=before.get((kind, index)),
            )  # fmt: skip
    return {**options, "patches_replace": {**replaced, "dit": hooks}}
