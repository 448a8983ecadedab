"""Which tokens a box or region covers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import Polygon, RunLength
from occlusionformer.tensors.grid import (
    TokenGrid,
    area_coverage,
    layout_token_ids,
    published_corners,
    published_footprint,
    published_soft_mask,
    region_coverage,
)
from tests.reference import regions
from tests.tables import for_each
from tests.tensors.scenes import boxes

sides = st.integers(1, 9)


CANVASES = [
    (512, 512), (1024, 1024), (720, 1280), (768, 1344), (1216, 832), (112, 112), (768, 1024), (1280, 1280), (96, 160),
    (1088, 1920),
]  # fmt: skip
"""Height and width in pixels."""


def one(box: regions.Box) -> torch.Tensor:
    return torch.tensor([box], dtype=torch.float64)


@given(boxes(), sides, sides)
def test_published_footprint_is_the_twins(box, height, width):
    attends_L = published_footprint(one(box), TokenGrid(height, width))[0]
    assert attends_L.nonzero()[:, 0].tolist() == regions.footprint(box, height, width)


@for_each("canvas", CANVASES, ids=str)
def test_published_corners_are_those_of_a_plain_loop_in_single_precision(canvas):
    """2,000 boxes a canvas, half of them on token edges, where it matters."""
    grid = TokenGrid.from_pixels(*canvas)
    generator = torch.Generator().manual_seed(sum(canvas))
    sides = torch.tensor([grid.width, grid.height], dtype=torch.float64)
    ends = torch.rand(2000, 2, 2, generator=generator, dtype=torch.float64) * sides
    ends[:1000] = ends[:1000].round()
    low, high = ends.amin(1), ends.amax(1)
    high = torch.minimum(torch.maximum(high, low + 0.25), sides)
    box_K4 = torch.cat([torch.minimum(low, high - 0.25) / sides, high / sides], 1)
    attends_KL = published_footprint(box_K4, grid)
    ids_K3 = layout_token_ids(published_corners(box_K4), grid)
    moved = 0
    for box, attends_L, ids in zip(box_K4.tolist(), attends_KL, ids_K3.tolist(), strict=True):
        expected = regions.footprint(tuple(box), grid.height, grid.width)
        assert attends_L.nonzero()[:, 0].tolist() == expected
        assert tuple(ids) == regions.published_center_id(tuple(box), grid.height, grid.width)
        moved += tuple(ids) != regions.center_id(tuple(box), grid.height, grid.width)
    powers = all(side & (side - 1) == 0 for side in (grid.height, grid.width))
    assert (moved > 20) != powers


@given(boxes(), sides, sides)
def test_published_soft_mask_is_the_twins(box, height, width):
    mask_L = published_soft_mask(one(box), TokenGrid(height, width))[0]
    assert mask_L.tolist() == regions.soft_mask(box, height, width).tolist()


def test_published_soft_mask_is_the_first_of_four_cells_of_a_bilinear_reduction():
    box, grid = (0.13, 0.31, 0.77, 0.82), TokenGrid(6, 8)
    pixels = torch.zeros(1, 1, 96, 128)
    pixels[:, :, int(0.31 * 96) : int(0.82 * 96), int(0.13 * 128) : int(0.77 * 128)] = 1
    cells = torch.nn.functional.interpolate(pixels, (12, 16), mode="bilinear", align_corners=False, antialias=False)
    torch.testing.assert_close(published_soft_mask(one(box), grid)[0].float(), cells[0, 0, ::2, ::2].flatten())


@given(boxes(), sides, sides)
def test_area_is_the_twins_and_sums_to_the_box(box, height, width):
    area_L = area_coverage(one(box), TokenGrid(height, width))[0]
    torch.testing.assert_close(area_L, regions.area(box, height, width), rtol=0, atol=1e-12)
    expected = (box[2] - box[0]) * (box[3] - box[1]) * height * width
    assert area_L.sum().item() == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 3), st.integers(0, 3), st.floats(0.01, 0.4), st.floats(0.01, 0.4))
def test_moving_a_box_by_a_token_moves_its_tokens_by_one(row, column, width, height):
    grid, step = TokenGrid(8, 8), 1 / 8
    x1, y1 = column * step + 0.03, row * step + 0.05
    here, there = (one((x1 + s, y1 + s, x1 + s + width, y1 + s + height)) for s in (0, step))
    for rule in (area_coverage, published_soft_mask):
        before, after = (rule(box, grid).double().reshape(8, 8) for box in (here, there))
        torch.testing.assert_close(after[1:, 1:], before[:-1, :-1], rtol=0, atol=1e-12)


@given(boxes(), sides, sides)
def test_every_box_has_a_token(box, height, width):
    grid = TokenGrid(height, width)
    assert published_footprint(one(box), grid).any()
    assert (area_coverage(one(box), grid) > 0).any()


def test_a_rectangular_polygon_covers_what_its_box_covers():
    grid = TokenGrid(4, 6)
    x1, y1, x2, y2 = 0.125, 0.25, 0.75, 0.875
    polygon = Polygon(points=((x1, y1), (x2, y1), (x2, y2), (x1, y2)))
    area_L = area_coverage(one((x1, y1, x2, y2)), grid)[0]
    torch.testing.assert_close(region_coverage(polygon, grid), area_L, rtol=0, atol=1 / 8)
    assert region_coverage(polygon, grid).mean().item() == pytest.approx(0.625 * 0.625, abs=1e-2)


def test_a_triangle_covers_half_its_square():
    triangle = Polygon(points=((0, 0), (1, 0), (0, 1)))
    coverage_L = region_coverage(triangle, TokenGrid(4, 4)).reshape(4, 4)
    assert coverage_L[0, 0] == 1
    assert coverage_L[3, 3] == 0
    assert coverage_L.mean().item() == pytest.approx(0.5, abs=1 / 64)


def test_run_lengths_are_averaged_over_each_token():
    columns = RunLength(size=(4, 4), counts=[0, 4, 4, 6, 2])
    expected = torch.tensor([[0.5, 1.0], [0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(region_coverage(columns, TokenGrid(2, 2)).reshape(2, 2), expected)


def test_a_run_length_mask_of_another_shape_than_the_grid_keeps_its_area():
    mask = RunLength(size=(5, 7), counts=[6, 9, 4, 11, 5])
    coverage_L = region_coverage(mask, TokenGrid(3, 4))
    assert coverage_L.mean().item() == pytest.approx(20 / 35, abs=1e-9)


def test_grid_of_a_canvas_names_both_wrong_sides():
    assert TokenGrid.from_pixels(96, 160) == TokenGrid(6, 10)
    with pytest.raises(ValueError, match=r"height: expected a positive multiple of 16, got 100; width: .* got 0"):
        TokenGrid.from_pixels(100, 0)
