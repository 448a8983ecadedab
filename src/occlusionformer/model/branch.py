"""The branch of layout blocks that OcclusionFormer and InstanceAssemble share: all parameters beside the backbone's.

Legend: B samples, N instances, R rows, P pooled text, D channels, E channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from occlusionformer.layout import Layout
from occlusionformer.model.appearance import AppearanceField
from occlusionformer.model.attention import rotation
from occlusionformer.model.backbones.flux import DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Streams
from occlusionformer.model.block import BranchStep, DualLayoutBlock, LayoutBlockOutput, SingleLayoutBlock
from occlusionformer.model.config import BackboneShape, BranchConfig
from occlusionformer.model.delta import LowRankDelta
from occlusionformer.model.embed import SMALLEST_SIDE, LayoutEmbedder, box_features, fourier
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
from occlusionformer.tensors.grid import TokenGrid, layout_token_ids, published_corners
from occlusionformer.tensors.packing import InstanceGeometry, PackedInstances, empty_geometry, layout_geometry, pack


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchCondition:
    """A batch of layouts as index tensors, and where the layout tokens lie: rotary ids (N, 3) in token units."""

    packed: PackedInstances
    token_ids_N3: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> BranchCondition:
        return BranchCondition(
            packed=self.packed.to(device, dtype), token_ids_N3=self.token_ids_N3.to(device, torch.float32)
        )


class OcclusionBranch(Method):
    """Instances attend alone, become layers, and are composited in the declared order, or averaged.

    branch: the fields of a BranchConfig as plain values.
    """

    name = "occlusionformer"
    texts = TextNeeds(pooled=True)
    negative = "none"

    _supports_gradient_checkpointing = True
    _no_split_modules = ("DualLayoutBlock", "SingleLayoutBlock")
    _skip_layerwise_casting_patterns = ("embedder", "density", "mask_head", "appearance")

    @register_to_config
    def __init__(self, branch: dict[str, Any]) -> None:
        super().__init__()
        self.shape = config = BranchConfig.from_json(branch)
        self.embedder = LayoutEmbedder(config)
        self.appearance = AppearanceField(config) if config.appearance_side else None
        self.dual = nn.ModuleDict({str(index): DualLayoutBlock(config) for index in config.dual_blocks})
        self.single = nn.ModuleDict({str(index): SingleLayoutBlock(config) for index in config.single_blocks})

    @classmethod
    def build(cls, config: BranchConfig) -> OcclusionBranch:
        """A new branch; with `second_feed_forward` other than "all" it starts as the identity."""
        return cls(branch=config.to_json())

    def packer(self) -> Packer:
        return partial(pack_layouts, config=self.shape)

    def text_problems(self, texts: InstanceTexts, count: int) -> list[str]:
        expected = (count, self.shape.pooled_dim)
        given = None if texts.pooled_NP is None else tuple(texts.pooled_NP.shape)
        return [] if given == expected else [f"pooled text: expected one row per instance, {expected}, got {given}"]

    def misfits(self, backbone: BackboneShape) -> list[str]:
        shape = self.shape
        problems = [
            f"expected {name} {getattr(backbone, name)} as in the transformer, got {getattr(shape, name)}"
            for name in ("num_heads", "head_dim", "pooled_dim")
            if getattr(backbone, name) != getattr(shape, name)
        ]
        counts = (("dual_blocks", backbone.num_dual), ("single_blocks", backbone.num_single))
        return problems + [
            f"expected {name} below {count}, got {getattr(shape, name)}"
            for name, count in counts
            if any(block >= count for block in getattr(shape, name))
        ]

    @property
    def predicts_masks(self) -> bool:
        return self.shape.mask_head

    def open(self, prepared: PreparedLayouts, inputs: StepInputs) -> BranchState:
        """Layout tokens and time embeddings of one step."""
        condition, text_NP = prepared.condition, prepared.texts.pooled_NP
        assert isinstance(condition, BranchCondition)
        assert text_NP is not None
        features_NF = box_features(condition.packed.box_N4, self.shape).to(text_NP.dtype)
        return BranchState(self, self._step(prepared, condition, inputs), self.embedder(text_NP, features_NF))

    def _step(self, prepared: PreparedLayouts, condition: BranchCondition, inputs: StepInputs) -> BranchStep:
        config, packed, text_NP = self.shape, condition.packed, prepared.texts.pooled_NP
        assert text_NP is not None
        guidance_B = inputs.guidance_B
        if config.layout_guidance is not None and guidance_B is not None:
            guidance_B = torch.full_like(guidance_B, config.layout_guidance)
        guidance_N = None if guidance_B is None else guidance_B[packed.sample_N]
        time_BD = inputs.time_embedding(inputs.timestep_B, guidance_B, inputs.pooled_BP)
        time_ND = inputs.time_embedding(inputs.timestep_B[packed.sample_N], guidance_N, text_NP)
        own, one_sample = config.instance_modulation, packed.num_samples == 1
        token_R = packed.pixel_R % packed.grid.num_tokens
        position_J3 = torch.cat([condition.token_ids_N3, inputs.image_ids.to(condition.token_ids_N3)[token_R]])
        return BranchStep(
            packed=packed,
            time_BD=time_BD,
            time_ND=time_ND,
            condition_CD=time_ND if own else time_BD,
            token_index=None if own or one_sample else packed.sample_N,
            row_index=packed.owner_R if own else (None if one_sample else packed.sample_R),
            rotation_JC=rotation(*inputs.rotary(position_J3)),
            coordinates_RF=box_coordinates(packed, config, text_NP.dtype) if config.box_coordinates else None,
            appearance_RF=None if self.appearance is None else self.appearance(text_NP, packed),
            strength=prepared.strength,
            return_masks=prepared.want_masks,
            return_weights=prepared.want_weights,
        )

    def figures(self) -> dict[str, float]:
        """lora_norm: Frobenius norm of all low-rank deltas together, without forming them."""
        squares = [
            ((delta.up.weight.T @ delta.up.weight) * (delta.down.weight @ delta.down.weight.T)).sum() * delta.scale**2
            for delta in self.modules()
            if isinstance(delta, LowRankDelta)
        ]
        return {"lora_norm": float(torch.stack(squares).sum().clamp_min(0).sqrt())} if squares else {}


class BranchState(ForwardState):
    """The branch during one forward: every layout block follows its backbone block."""

    def __init__(self, branch: OcclusionBranch, step: BranchStep, tokens_ND: Tensor) -> None:
        super().__init__()
        self.branch, self.step = branch, step
        self.tokens = Carried(tokens_ND)

    def dual(self, index: int, block: DualBlock, streams: Streams) -> Streams:
        streams = block.run(streams)
        return self._followed(self.branch.dual, index, block, streams)

    def single(self, index: int, block: SingleBlock, streams: Streams) -> Streams:
        streams = block.run(streams)
        return self._followed(self.branch.single, index, block, streams)

    def _followed(
        self, layout_blocks: nn.ModuleDict, index: int, block: DualBlock | SingleBlock, streams: Streams
    ) -> Streams:
        if str(index) not in layout_blocks:
            return streams
        output: LayoutBlockOutput = layout_blocks[str(index)](
            block.borrowed,
            streams.canvas(self.step.packed.grid.num_tokens),
            self.tokens.before(block.position),
            self.step,
        )
        self.tokens.put(block.position, output.tokens)
        if output.mask_logits is not None:
            self.mask_logits[block.position] = output.mask_logits
        if output.weights is not None:
            self.weights[block.position] = output.weights
        return streams.with_canvas(output.image)


def box_coordinates(packed: PackedInstances, config: BranchConfig, dtype: torch.dtype) -> Tensor:
    """Fourier features of where each row's token centre lies in its own box (0..1 inside) and of the box's size."""
    grid = packed.grid
    assert packed.owner_R is not None
    box = packed.box_N4[packed.owner_R]
    token_R = packed.pixel_R % grid.num_tokens
    x = ((token_R % grid.width).to(box.dtype) + 0.5) / grid.width
    y = ((token_R // grid.width).to(box.dtype) + 0.5) / grid.height
    wide, high = (box[:, 2:] - box[:, :2]).clamp_min(SMALLEST_SIDE).unbind(-1)
    inside = torch.stack([(x - box[:, 0]) / wide, (y - box[:, 1]) / high, wide, high], -1)
    return fourier(inside, config).to(dtype)


def pack_layouts(layouts: Sequence[Layout | None], grid: TokenGrid, *, config: BranchConfig) -> BranchCondition:
    """Layouts of a batch, rasterised and packed."""
    geometries = [
        empty_geometry(grid) if layout is None else layout_geometry(layout, grid, config.rasteriser)
        for layout in layouts
    ]
    return pack_geometries(geometries, grid, config=config)


def pack_geometries(samples: Sequence[InstanceGeometry], grid: TokenGrid, *, config: BranchConfig) -> BranchCondition:
    """As pack_layouts, from geometry that is already rasterised."""
    packed = pack(samples, grid, hybrid=config.hybrid, share_rows=not config.instance_modulation)
    corner_N4 = published_corners(packed.box_N4) if config.rasteriser == "published" else packed.box_N4
    return BranchCondition(packed=packed, token_ids_N3=layout_token_ids(corner_N4, grid))
