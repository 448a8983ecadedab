"""Layout documents made ready for a model: geometry stays exact, regions and orders arrive, misfits are refused."""

import pytest
import torch

from occlusionformer.layout import Box, FrontToBack, Instance, Layout, Polygon
from occlusionformer.model.branch import pack_layouts
from occlusionformer.tensors.compositing import weight_maps
from occlusionformer.tensors.grid import TokenGrid
from tests.model.tiny import (
    BOXES,
    GRID,
    Model,
    Picture,
    begin,
    cast,
    prepare,
    presets,
    random_inputs,
    random_texts,
    tiny_backbone,
    tiny_branch,
)
from tests.reference.regions import published_center_id
from tests.tables import for_each

PRESETS = presets()
PUBLISHED = PRESETS["published"][0]
HALVES = ((0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 1.0, 1.0))


def layout(*instances: Instance, order: FrontToBack | None = None) -> Layout:
    return Layout(prompt="things", width=96, height=64, instances=instances, order=order)


def thing(name: str, box: tuple[float, float, float, float], **fields) -> Instance:
    return Instance(id=name, caption=name, box=Box(*box), **fields)


def ready(document: Layout, config=PUBLISHED):
    return pack_layouts([document], GRID, config=config).packed


@pytest.mark.parametrize("rows", [0, 2, 4])
def test_text_rows_that_do_not_fit_the_instances_are_refused(rows):
    with pytest.raises(ValueError, match=rf"one row per instance, \(3, 6\), got \({rows}, 6\)"):
        prepare([Picture()], torch.zeros(rows, 6), PUBLISHED)


def test_text_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 6\), got \(3, 768\)"):
        prepare([Picture()], torch.zeros(3, 768), PUBLISHED)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_compute_dtype_does_not_move_boxes(dtype):
    condition = prepare([Picture()], random_texts([Picture()]), PUBLISHED, dtype=dtype)
    assert condition.texts.pooled_NP.dtype == dtype
    torch.testing.assert_close(
        condition.condition.packed.box_N4.double(), torch.tensor(BOXES).double(), rtol=0, atol=1e-7
    )


@for_each("dtype", [torch.bfloat16, torch.float32, torch.float64])
@for_each("grid", [GRID, TokenGrid(22, 46)], ids=str)
def test_the_layout_tokens_position_is_the_twins_in_any_dtype(dtype, grid):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(50, 2, generator=generator, dtype=torch.float64) * 0.6
    size = 0.02 + torch.rand(50, 2, generator=generator, dtype=torch.float64) * 0.3
    picture = Picture(tuple(tuple(row) for row in torch.cat([corner, corner + size], 1).tolist()), None)
    flux = Model(tiny_backbone(), tiny_branch(PUBLISHED)).to(dtype)
    condition = prepare([picture], random_texts([picture]), PUBLISHED, grid=grid, dtype=dtype)
    state = begin(flux, cast(random_inputs(1, grid), dtype), condition)
    expected = torch.tensor([published_center_id(box, grid.height, grid.width) for box in picture.boxes])
    actual, (cos, sin) = state.step.rotation_JC[: len(expected)], flux.backbone.pos_embed(expected)
    torch.testing.assert_close(actual.real.float(), cos[:, ::2].float(), rtol=0, atol=1e-6)
    torch.testing.assert_close(actual.imag.float(), sin[:, ::2].float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("preset", ["published", "paper"])
def test_a_region_narrows_the_tokens_of_its_instance(preset):
    config = PRESETS[preset][0]
    left_half = Polygon(points=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    whole, narrowed = (ready(layout(thing("a", HALVES[1], **fields)), config) for fields in ({}, {"region": left_half}))
    assert sorted(whole.pixel_T.tolist()) == list(range(GRID.num_tokens))
    assert sorted(narrowed.pixel_T.tolist()) == [t for t in range(GRID.num_tokens) if t % GRID.width < 3]


def test_a_declared_total_order_arrives_as_who_is_in_front():
    document = layout(thing("a", HALVES[0]), thing("b", HALVES[1]), order=FrontToBack(front_to_back=("b", "a")))
    weight_NL = weight_maps(torch.full((2, 1), 30.0), ready(document))
    expected = torch.tensor([0.0, 1.0])[:, None].expand(2, GRID.num_tokens)
    torch.testing.assert_close(weight_NL, expected, rtol=0, atol=1e-9)


def test_an_order_without_relations_still_counts_as_declared():
    declared = ready(layout(thing("a", HALVES[0]), order=FrontToBack(front_to_back=("a",))))
    silent = ready(layout(thing("a", HALVES[0])))
    assert declared.rendering == "all"
    assert silent.rendering == "none"
