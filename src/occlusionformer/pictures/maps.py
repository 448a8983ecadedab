"""A layout as two pictures: a flat colour for every instance, and how near each is. Write only."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from occlusionformer.layout import Layout, LayoutError, Polygon, RunLength
from occlusionformer.layout.box import overlapping_pairs
from occlusionformer.layout.formats.listing import back_to_front
from occlusionformer.layout.polygons import PolygonPainter
from occlusionformer.layout.problems import Problem, shown
from occlusionformer.layout.schema import Depths

MOST_PIXELS = 2**26
"""Of a map: two of them and the masks drawn into them take half a gigabyte."""
GOLDEN = 0.618034
"""Turns of the colour wheel from an instance to the next: neighbours in the list never look alike."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class LayoutMaps:
    """Both maps of a layout, (H, W, 3) and (H, W), of 8 bits."""

    colours: np.ndarray
    """The colour of the nearest instance at each pixel; black where there is none."""
    depth: np.ndarray
    """White for the nearest instances, black where there is none."""
    legend: tuple[Colour, ...]
    """The colour of every instance, in the order of the layout."""

    def files(self) -> dict[str, bytes]:
        """The two PNG files, as `colours` and `depth`."""
        return {"colours": _png(self.colours), "depth": _png(self.depth)}


def layout_maps(layout: Layout) -> LayoutMaps:
    """The maps of a layout, drawn from back to front on its canvas, a pixel for a pixel.

    Grey goes with the number of instances that are, each behind the next, in front; with `depths` it goes with the
    distance. Instances that the order leaves open are drawn in the order of the layout, which `map_losses` tells.
    Raises LayoutError for a canvas of more than MOST_PIXELS.
    """
    if layout.width * layout.height > MOST_PIXELS:
        size = f"{layout.width} x {layout.height}"
        raise LayoutError([Problem(("width",), f"expected a canvas of at most {MOST_PIXELS} pixels, got {size}")])
    shape = (layout.height, layout.width)
    colours, depth = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    legend = tuple(_colours(len(layout.instances)))
    greys = _greys(layout)
    for place, mask, window in _masks(layout):
        colours[window][mask] = legend[place]
        depth[window][mask] = greys[place]
    return LayoutMaps(colours=colours, depth=depth, legend=legend)


def map_losses(layout: Layout) -> list[Problem]:
    """One line for everything that the maps of a layout do not say, with paths in the layout."""
    lost = [Problem(("prompt",), f"maps cannot hold {shown(layout.prompt)}")]
    if layout.seed is not None:
        lost.append(Problem(("seed",), f"maps cannot hold {shown(layout.seed)}"))
    for place, instance in enumerate(layout.instances):
        named = {"id": instance.id, "caption": instance.caption, "category": instance.category}
        opacity = instance.opacity if instance.opacity < 1 else None
        for name, value in {**named, "opacity": opacity}.items():
            if value is not None:
                lost.append(Problem(("instances", place, name), f"maps cannot hold {shown(value)}"))
    related = set() if layout.zorder is None else {frozenset(edge) for edge in layout.zorder.edges}
    meeting = [pair for pair in overlapping_pairs(layout.boxes)]
    hidden = sum(frozenset(pair) in related for pair in meeting)
    if hidden:
        lost.append(Problem(("instances",), f"maps cannot hold what is hidden, in {hidden} overlaps of boxes"))
    if len(meeting) > hidden:
        text = f"maps cannot leave {len(meeting) - hidden} overlaps of boxes without a relation"
        lost.append(Problem(("order",), text))
    return lost


def _masks(layout: Layout) -> Iterator[tuple[int, np.ndarray, tuple[slice, slice]]]:
    """For every instance from back to front its place, its pixels in the window of its box, and that window."""
    painter = PolygonPainter()
    for place in back_to_front(layout):
        instance = layout.instances[place]
        x1, y1, x2, y2 = instance.box.pixels(layout.width, layout.height)
        window = (slice(y1, y2), slice(x1, x2))
        mask = np.ones((y2 - y1, x2 - x1), bool)
        if isinstance(instance.region, Polygon):
            mask = _polygon(instance.region, layout, painter)[window]
        elif isinstance(instance.region, RunLength):
            mask = _stretched(instance.region, layout, (y1, y2), (x1, x2))
        yield place, mask, window


def _polygon(region: Polygon, layout: Layout, painter: PolygonPainter) -> np.ndarray:
    """Pixels of the canvas whose middle lies in a polygon."""
    points = [(x * layout.width, y * layout.height) for x, y in region.points]
    runs = painter.runs([points], width=layout.width, height=layout.height)
    return _painted(runs, layout.height, layout.width)


def _stretched(region: RunLength, layout: Layout, rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
    """The part of a mask in a window of the canvas, over which the mask is stretched: the value at each middle."""
    height, width = region.size
    mask = _painted(region.run_lengths(), height, width)
    at_rows = (np.arange(*rows) + 0.5) * height / layout.height
    at_columns = (np.arange(*columns) + 0.5) * width / layout.width
    return mask[np.ix_(at_rows.astype(int), at_columns.astype(int))]


def _painted(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """Run lengths, down the columns, the first unset, as (H, W) of bool."""
    is_set = np.arange(len(runs)) % 2 == 1
    return np.repeat(is_set, runs).reshape(width, height).T


def _colours(count: int) -> Iterator[Colour]:
    """Colours of their own, none of them black: around the wheel, in turns of four brightnesses."""
    seen: set[Colour] = {(0, 0, 0)}
    step = 0
    while len(seen) <= count:
        hue, value = step * GOLDEN % 1, 1 - 0.15 * (step // 7 % 4)
        red, green, blue = (
            round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85 - 0.2 * (step // 28 % 3), value)
        )
        step += 1
        if (colour := (red, green, blue)) not in seen:
            seen.add(colour)
            yield colour


def _greys(layout: Layout) -> list[int]:
    """How near every instance is, from 255 for the nearest; the farthest is not black, which is nothing."""
    count = len(layout.instances)
    if isinstance(layout.order, Depths) and len(layout.order.depths) == count > 0:
        depths = [layout.order.depths[instance.id] for instance in layout.instances]
        levels, near, far = len(set(depths)), min(depths), max(depths)
        shares = [(depth - near) / (far - near) if far > near else 0.0 for depth in depths]
        return [round(255 * (1 - share * (levels - 1) / levels)) for share in shares]
    ranks = layout.zorder.ranks() if layout.zorder is not None else [0] * count
    levels = max(ranks, default=0) + 1
    return [max(1, round(255 * (levels - rank) / levels)) for rank in ranks]


def _png(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
