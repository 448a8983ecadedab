"""What a user draws: layouts of instances with a declared z-order. Imports no torch and no numpy."""

from occlusionformer.layout.atomic import write_atomic
from occlusionformer.layout.box import Box
from occlusionformer.layout.difficulty import Overlap, overlap, overlay_score
from occlusionformer.layout.formats import (
    FORMATS,
    Format,
    read_layout,
    read_layouts,
    write_layout,
    write_layouts,
)
from occlusionformer.layout.problems import LayoutError
from occlusionformer.layout.region import Polygon, RunLength
from occlusionformer.layout.schema import Depths, FrontToBack, Instance, Layout, Pair, Pairs
from occlusionformer.layout.zorder import ZOrder, ZOrderCycle

__all__ = [
    "FORMATS",
    "Box",
    "Depths",
    "Format",
    "FrontToBack",
    "Instance",
    "Layout",
    "LayoutError",
    "Overlap",
    "Pair",
    "Pairs",
    "Polygon",
    "RunLength",
    "ZOrder",
    "ZOrderCycle",
    "overlap",
    "overlay_score",
    "read_layout",
    "read_layouts",
    "write_atomic",
    "write_layout",
    "write_layouts",
]
