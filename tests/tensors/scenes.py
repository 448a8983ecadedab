"""Random batches of overlapping boxes, seen by the packed implementation and by the loop twin.

N instances of one sample, L tokens of one image, D channels, T (instance, pixel) pairs.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from hypothesis import strategies as st
from torch import Tensor

from occlusionformer.tensors.grid import TokenGrid, area_coverage, published_footprint, published_soft_mask
from occlusionformer.tensors.packing import InstanceGeometry, PackedInstances, pack
from tests.reference import composition, regions

CHANNELS = 3

Rasteriser = Literal["area", "published"]
Hybrid = composition.Hybrid
RULES: list[tuple[Rasteriser, Hybrid]] = [("area", "per_pixel"), ("published", "per_layout")]
"""How boxes become tokens, and where the order is used: ours, and the published model's."""


@dataclass(frozen=True)
class Scene:
    """Boxes on one canvas; `occluders[i]` lists the instances in front of i, None: no order declared."""

    grid: TokenGrid
    boxes: tuple[regions.Box, ...]
    occluders: tuple[tuple[int, ...], ...] | None
    opacities: tuple[float, ...]

    @property
    def order(self) -> list[list[int]]:
        return [list(front) for front in self.occluders] if self.occluders is not None else [[] for _ in self.boxes]

    def footprints(self, rasteriser: Rasteriser) -> list[list[int]]:
        rule = regions.footprint if rasteriser == "published" else regions.covered_tokens
        return [rule(box, self.grid.height, self.grid.width) for box in self.boxes]

    def masks(self, rasteriser: Rasteriser) -> Tensor:
        """(N, L) share of every token."""
        rule = regions.soft_mask if rasteriser == "published" else regions.coverage
        masks = [rule(box, self.grid.height, self.grid.width) for box in self.boxes]
        return torch.stack(masks) if masks else torch.zeros(0, self.grid.num_tokens, dtype=torch.float64)

    def cover(self, rasteriser: Rasteriser) -> composition.Cover:
        occluders = None if self.occluders is None else self.order
        return composition.Cover(self.footprints(rasteriser), self.masks(rasteriser), list(self.opacities), occluders)

    def permuted(self, order: list[int]) -> "Scene":
        """The same picture with instance order[k] renumbered k."""
        place = {old: new for new, old in enumerate(order)}
        occluders = self.occluders
        if occluders is not None:
            occluders = tuple(tuple(place[front] for front in occluders[old]) for old in order)
        return replace(
            self,
            boxes=tuple(self.boxes[old] for old in order),
            occluders=occluders,
            opacities=tuple(self.opacities[old] for old in order),
        )


def geometry(scene: Scene, rasteriser: Rasteriser) -> InstanceGeometry:
    """What the packed implementation is told about a scene."""
    count = len(scene.boxes)
    box_K4 = torch.tensor(scene.boxes, dtype=torch.float64).reshape(count, 4)
    if rasteriser == "published":
        attends_KL, coverage_KL = published_footprint(box_K4, scene.grid), published_soft_mask(box_K4, scene.grid)
    else:
        area_KL = area_coverage(box_K4, scene.grid)
        attends_KL = area_KL >= 1 / 64
        attends_KL[torch.arange(count), area_KL.argmax(1)] = True
        coverage_KL = torch.where(attends_KL, area_KL.clamp_min(1 / 64), 0.0)
    in_front_KK = torch.zeros(count, count, dtype=torch.bool)
    for behind, fronts in enumerate(scene.order):
        in_front_KK[behind, list(fronts)] = True
    return InstanceGeometry(
        box_K4=box_K4,
        attends_KL=attends_KL,
        coverage_KL=coverage_KL,
        in_front_KK=in_front_KK,
        opacity_K=torch.tensor(scene.opacities, dtype=torch.float64),
        ordered=scene.occluders is not None,
    )


def pack_scenes(scenes: list[Scene], rasteriser: Rasteriser = "area", hybrid: Hybrid = "per_pixel") -> PackedInstances:
    return pack([geometry(scene, rasteriser) for scene in scenes], scenes[0].grid, hybrid=hybrid)


def random_layers(scenes: list[Scene], seed: int, scale: float = 1.0) -> tuple[list[Tensor], Tensor]:
    """Features (N, L, D) of every scene, on all tokens, and the densities (all N, D) of the batch."""
    generator = torch.Generator().manual_seed(seed)
    tokens = scenes[0].grid.num_tokens
    shape = {"generator": generator, "dtype": torch.float64}
    features = [torch.randn(len(scene.boxes), tokens, CHANNELS, **shape) for scene in scenes]
    count = sum(len(scene.boxes) for scene in scenes)
    return features, scale * (0.05 + 3 * torch.rand(count, CHANNELS, **shape))


def pairs(features: list[Tensor], packed: PackedInstances) -> Tensor:
    """Layer rows (T, D) of the packed implementation, taken from dense features."""
    dense = torch.cat(features)
    return dense[packed.owner_T, packed.pixel_T % packed.grid.num_tokens]


def twin_composite(
    scenes: list[Scene], features: list[Tensor], density_ND: Tensor, rasteriser: Rasteriser, hybrid: Hybrid
) -> Tensor:
    """(B * L, D) from the loops, scene after scene."""
    outputs, first = [], 0
    for scene, features_NLD in zip(scenes, features, strict=True):
        count = len(scene.boxes)
        scene_density, first = density_ND[first : first + count], first + count
        if count == 0:
            outputs.append(torch.zeros(scene.grid.num_tokens, CHANNELS, dtype=torch.float64))
            continue
        cover = scene.cover(rasteriser)
        inside_NL1 = torch.zeros(count, scene.grid.num_tokens, 1, dtype=torch.float64)
        for instance, tokens in enumerate(cover.footprints):
            inside_NL1[instance, tokens] = 1
        outputs.append(composition.blend(features_NLD * inside_NL1, scene_density, cover, hybrid))
    return torch.cat(outputs)


@st.composite
def boxes(draw: st.DrawFn) -> regions.Box:
    """Corners off the token edges of the grids used here, from specks to the whole canvas."""
    sides = [sorted(draw(st.lists(st.floats(0.003, 0.997), min_size=2, max_size=2, unique=True))) for _ in range(2)]
    (x1, x2), (y1, y2) = sides
    return (x1, y1, max(x2, x1 + 1e-3), max(y2, y1 + 1e-3))


@st.composite
def scenes(draw: st.DrawFn, grid: TokenGrid, max_instances: int = 5, opacity: bool = False) -> Scene:
    """Any boxes under any relation, cycles included."""
    placed = draw(st.lists(boxes(), max_size=max_instances))
    count = len(placed)
    occluders = None
    if draw(st.booleans()):
        others = [[j for j in range(count) if j != i] for i in range(count)]
        occluders = tuple(tuple(sorted(draw(st.sets(st.sampled_from(other))))) if other else () for other in others)
    values = st.sampled_from([0.0, 0.25, 0.6, 1.0]) if opacity else st.just(1.0)
    opacities = tuple(draw(values) for _ in placed)
    return Scene(grid=grid, boxes=tuple(placed), occluders=occluders, opacities=opacities)


@st.composite
def batches(draw: st.DrawFn, opacity: bool = False) -> list[Scene]:
    """One to three scenes on one small, not necessarily square, canvas."""
    grid = TokenGrid(draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    return draw(st.lists(scenes(grid, opacity=opacity), min_size=1, max_size=3))
