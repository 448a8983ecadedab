"""Every number of the branch that shapes weights or results, each with its reason."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

LARGEST_SIZE = 65536
LARGEST_BLOCK = 999
POSITIVE = (
    "num_heads", "head_dim", "pooled_dim", "mlp_ratio", "grid_points", "fourier_frequencies", "appearance_hidden",
)  # fmt: skip
PUBLISHED_DUAL = (0, 3, 6, 9, 12, 15, 18)
PUBLISHED_SINGLE = (0, 9, 18, 27, 37)


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchConfig:
    """Shape and behaviour of the layout branch. The first group follows the backbone, the rest is the method."""

    num_heads: int
    head_dim: int
    pooled_dim: int
    """Width of the pooled text embedding of an instance."""
    dual_blocks: tuple[int, ...]
    """Dual-stream blocks of the backbone followed by a layout block."""
    single_blocks: tuple[int, ...]
    mlp_ratio: int = 4

    lora_rank: int = 4
    """Rank of the branch's own deltas on the borrowed layers; 0 leaves them out."""
    lora_scale: float = 1.0
    """The published code runs its deltas at 1 whatever alpha says."""

    grid_points: int = 6
    """Points a side sampled on a box for its embedding."""
    fourier_frequencies: int = 8
    fourier_base: float = 100.0
    """Frequencies are base ** (k / fourier_frequencies)."""

    rasteriser: Literal["area", "published"] = "area"
    """area: one rasteriser, exact cell coverage; published: truncated footprint beside a shifted soft mask."""
    hybrid: Literal["per_pixel", "per_layout", "mean"] = "per_pixel"
    """Where layers are rendered and where averaged; see tensors.packing.pack."""
    density: Literal["learned", "static", "none"] = "learned"
    """learned from the instance's text and the time; static: one learned vector a block; none: plain mean."""
    density_scale: float = 5.0
    """Softplus multiplier; 5 makes a fresh instance about 97% opaque."""
    layout_guidance: float | None = 10.0
    """Guidance fed to the branch's time embedding; None: the caller's. Ignored by a backbone without guidance."""
    double_qk_norm: bool = False
    """The published dual-stream processor normalises the layout token's query and key twice."""
    second_feed_forward: Literal["all", "gated", "none"] = "gated"
    """all: the block's feed-forward once more on every token, active at initialisation; gated: by a zero-initialised
    gate, so that a new branch is the identity; none: left out."""
    strength_of: Literal["all", "update"] = "all"
    """What `strength` multiplies: all that a block adds, or, as the published layout_scale of InstanceAssemble, the
    composited update alone and not the second feed-forward."""

    mask_head: bool = True
    """Query projection and mask predictor of the alignment loss."""
    mask_channels: tuple[int, int] = (32, 16)
    cosine_eps: float = 1e-3
    """Lower bound of both norms in the query similarity; layers start at zero, so a tiny one explodes."""

    instance_modulation: bool = False
    """Modulate an instance's tokens by its own text-time embedding: rows are then computed per pair."""
    box_coordinates: bool = False
    """Add box-relative coordinates to an instance's tokens; needs instance_modulation."""
    appearance_side: int = 0
    """Cells a side of a coarse picture of an instance, made of its text and looked up at its tokens' places in its box,
    see model.appearance; needs instance_modulation. 0: none."""
    appearance_hidden: int = 512
    """Width of the MLP that makes it."""
    instance_mlp_ratio: int = 0
    """Width, in units of the model's, of an MLP beside the instance attention of dual blocks; 0: none."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}: expected a positive integer up to {LARGEST_SIZE}, got {getattr(self, name)!r}"
            for name in POSITIVE
            if not 1 <= getattr(self, name) <= LARGEST_SIZE
        ]
        problems += [
            f"{name}: expected 0 to {LARGEST_SIZE}, got {getattr(self, name)}"
            for name in ("lora_rank", "instance_mlp_ratio", "appearance_side")
            if not 0 <= getattr(self, name) <= LARGEST_SIZE
        ]
        problems += [
            f"{name}: expected a finite number, got {getattr(self, name)}"
            for name in ("lora_scale", "fourier_base", "density_scale", "cosine_eps")
            if not math.isfinite(getattr(self, name))
        ]
        if (self.box_coordinates or self.instance_mlp_ratio or self.appearance_side) and not self.instance_modulation:
            problems.append("box_coordinates, instance_mlp_ratio, appearance_side: need instance_modulation=True")
        for name in ("dual_blocks", "single_blocks"):
            blocks = getattr(self, name)
            if list(blocks) != sorted(set(blocks)) or any(not 0 <= block <= LARGEST_BLOCK for block in blocks):
                problems.append(f"{name}: expected increasing block indices up to {LARGEST_BLOCK}, got {blocks}")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def width(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def box_features(self) -> int:
        return 4 * self.fourier_frequencies * self.grid_points**2

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal config back."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BranchConfig:
        """ValueError names every field that is unknown, missing, of another type or out of its range."""
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"branch config: unknown fields {', '.join(unknown)}")
        try:
            config = _reader().validate_json(json.dumps(dict(values)), strict=True)
        except ValidationError as error:
            found = [(".".join(map(str, one["loc"])), one["msg"], one["input"]) for one in error.errors()]
            lines = [f"{where}: {message}, got {value!r:.80}" if where else message for where, message, value in found]
            raise ValueError(f"branch config: {'; '.join(lines)}") from error
        return config


@cache
def _reader() -> TypeAdapter[BranchConfig]:
    """Made once, when a config is first read: it takes longer than all the reading."""
    return TypeAdapter(BranchConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneShape:
    """The sizes of a backbone that a branch has to fit."""

    num_dual: int
    num_single: int
    num_heads: int
    head_dim: int
    pooled_dim: int


FLUX_DEV = BackboneShape(num_dual=19, num_single=38, num_heads=24, head_dim=128, pooled_dim=768)


def published(shape: BackboneShape = FLUX_DEV) -> BranchConfig:
    """Reproduces the released code, so that its weights load and give its numbers."""
    return BranchConfig(
        **_sizes(shape, PUBLISHED_SINGLE),
        rasteriser="published",
        hybrid="per_layout",
        double_qk_norm=True,
        second_feed_forward="all",
        cosine_eps=1e-12,
    )


def paper(shape: BackboneShape = FLUX_DEV) -> BranchConfig:
    """What is trained here: the identity at initialisation, one rasteriser, one norm, plain mean without an order."""
    return BranchConfig(**_sizes(shape, PUBLISHED_SINGLE))


def instance_assemble(shape: BackboneShape = FLUX_DEV) -> BranchConfig:
    """The parent method: overlapping instances are averaged, one single-stream layout block, no density, no masks."""
    return BranchConfig(
        **_sizes(shape, (0,)),
        rasteriser="published",
        hybrid="mean",
        density="none",
        layout_guidance=None,
        second_feed_forward="all",
        strength_of="update",
        mask_head=False,
    )


def _sizes(shape: BackboneShape, single: tuple[int, ...]) -> dict[str, Any]:
    return {
        "num_heads": shape.num_heads,
        "head_dim": shape.head_dim,
        "pooled_dim": shape.pooled_dim,
        "dual_blocks": tuple(i for i in PUBLISHED_DUAL if i < shape.num_dual),
        "single_blocks": tuple(i for i in single if i < shape.num_single),
    }
