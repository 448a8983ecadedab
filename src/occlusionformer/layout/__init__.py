"""What a user draws: layouts of instances with a declared z-order. Imports no torch and no numpy."""

from occlusionformer.layout.atomic import write_atomic
from occlusionformer.layout.box import Box
from occlusionformer.layout.problems import LayoutError
from occlusionformer.layout.region import Polygon, RunLength
from occlusionformer.layout.schema import Depths, FrontToBack, Instance, Layout, Pair, Pairs
from occlusionformer.layout.zorder import ZOrder, ZOrderCycle

__all__ = [
    "Box",
    "Depths",
    "FrontToBack",
    "Instance",
    "Layout",
    "LayoutError",
    "Pair",
    "Pairs",
    "Polygon",
    "RunLength",
    "ZOrder",
    "ZOrderCycle",
    "write_atomic",
]
