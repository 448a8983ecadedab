"""What distinguishes the methods and presets that share the layout blocks."""

from dataclasses import dataclass
from typing import Literal

from tests.reference.composition import Hybrid


@dataclass(frozen=True)
class Rules:
    """The published model by default."""

    rasteriser: Literal["published", "area"] = "published"
    hybrid: Hybrid = "per_layout"
    double_norm: bool = True
    """The layout token's query and key in a dual block are normalised twice."""
    second_feed_forward: Literal["all", "gated", "none"] = "all"
    layout_guidance: float | None = 10.0
    """Guidance in the branch's time embeddings; None: the caller's."""
    strength: float = 1.0
    """Factor on what a layout block adds to the image tokens."""
    strength_of: Literal["all", "update"] = "all"
    """Whether it is a factor on the second feed-forward too."""
    instance_modulation: bool = False
    """Rows are modulated by their instance's time embedding instead of the branch's."""
    box_coordinates: bool = False
    instance_mlp: bool = False
    appearance_side: int = 0
    """Cells a side of the coarse picture of an instance; 0: none."""


PUBLISHED = Rules()
PAPER = Rules(rasteriser="area", hybrid="per_pixel", double_norm=False, second_feed_forward="gated")
INSTANCE_ASSEMBLE = Rules(hybrid="mean", layout_guidance=None, double_norm=False, strength_of="update")
