"""What an instance looks like, looked up at its tokens: where it lies, what of it, and that it can be learnt."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from occlusionformer.model import BranchConfig
from occlusionformer.model.appearance import CHANNELS, SAMPLES, AppearanceField
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.tensors.packing import PackedInstances
from tests.model.tiny import BOXES, GRID, Picture, prepare, presets, random_texts, randomise
from tests.tables import for_each

CONFIG = presets()["small"][0]
WHOLE = (0.0, 0.0, 1.0, 1.0)


def field(config: BranchConfig = CONFIG) -> AppearanceField:
    made = AppearanceField(config).double()
    randomise(made, 4)
    return made


def packed(*pictures: Picture, grid: TokenGrid = GRID) -> PackedInstances:
    return prepare(pictures, random_texts(pictures), CONFIG, grid=grid).condition.packed


def on_canvas(seen_RF: Tensor, rows: PackedInstances, instance: int) -> Tensor:
    """What one instance's rows found, as a picture of the canvas: (channels, height * S, width * S), 0 elsewhere."""
    grid = rows.grid
    canvas_LF = seen_RF.new_zeros(grid.num_tokens, seen_RF.shape[1])
    own_R = rows.owner_R == instance
    canvas_LF[rows.pixel_R[own_R] % grid.num_tokens] = seen_RF[own_R]
    cells = canvas_LF.view(grid.height, grid.width, SAMPLES, SAMPLES, CHANNELS)
    return cells.permute(4, 0, 2, 1, 3).reshape(CHANNELS, grid.height * SAMPLES, grid.width * SAMPLES)


@for_each(("side", "grid"), [(8, TokenGrid(2, 2)), (5, TokenGrid(2, 3))], ids=str)
def test_a_box_that_covers_the_canvas_gives_the_picture_back(side: int, grid: TokenGrid):
    """Cell by cell where there are as many samples as cells, stretched where there are not."""
    picture, made = Picture(boxes=(WHOLE,), occluders=None), field(replace(CONFIG, appearance_side=side))
    text_NP, rows = random_texts([picture]), packed(picture, grid=grid)
    seen = on_canvas(made(text_NP, rows), rows, 0)
    gelu = torch.nn.functional.gelu
    expected = made.picture(gelu(made.text_out(gelu(made.text_in(text_NP))))).view(1, CHANNELS, side, side)
    expected = torch.nn.functional.interpolate(expected, seen.shape[1:], mode="bilinear")[0]
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-12)


def test_places_outside_the_box_are_zero_and_those_inside_are_not():
    picture, made = Picture(occluders=None), field()
    rows = packed(picture)
    seen_RF = made(random_texts([picture]), rows)
    for instance, (x1, y1, x2, y2) in enumerate(BOXES):
        canvas = on_canvas(seen_RF, rows, instance)
        x = (torch.arange(canvas.shape[2]) + 0.5) / canvas.shape[2]
        y = (torch.arange(canvas.shape[1]) + 0.5) / canvas.shape[1]
        inside = ((y >= y1) & (y <= y2))[:, None] & ((x >= x1) & (x <= x2))
        assert inside.any()
        assert not canvas[:, ~inside].any()
        assert canvas[:, inside].all()


def test_what_is_seen_does_not_depend_on_the_batch():
    pictures, made = (
        [Picture(), Picture(boxes=BOXES[:1], occluders=None), Picture(boxes=BOXES[1:], occluders=None)],
        field(),
    )
    text_NP = random_texts(pictures)
    rows = packed(*pictures)
    together_RF, first = made(text_NP, rows), 0
    for picture in pictures:
        last = first + len(picture.boxes)
        own = packed(picture)
        alone_RF = made(text_NP[first:last], own)
        for instance in range(len(picture.boxes)):
            of_batch_RF = together_RF[rows.owner_R == first + instance]
            torch.testing.assert_close(of_batch_RF, alone_RF[own.owner_R == instance], rtol=0, atol=1e-12)
        first = last
    assert first == len(text_NP)


def test_gradients_reach_the_texts_and_every_layer():
    picture, made = Picture(), field()
    text_NP = random_texts([picture]).requires_grad_()
    made(text_NP, packed(picture)).square().sum().backward()
    assert text_NP.grad.any(1).all()
    for name, parameter in made.named_parameters():
        assert parameter.grad.any(), name
        assert parameter.grad.isfinite().all()


def test_without_instances_there_is_nothing_to_see():
    empty = Picture(boxes=(), occluders=None)
    assert field()(random_texts([empty]), packed(empty)).shape == (0, CHANNELS * SAMPLES**2)


@for_each("dtype", [torch.bfloat16, torch.float32])
def test_what_is_seen_has_the_type_of_the_texts(dtype):
    """The boxes stay exact: a place on the wrong side of an edge would be zero."""
    picture, exact = Picture(), field()
    rows, text_NP = packed(picture), random_texts([picture])
    expected = exact(text_NP, rows)
    seen = exact.to(dtype)(text_NP.to(dtype), rows.to("cpu", dtype))
    assert seen.dtype == dtype
    assert torch.equal(seen == 0, expected == 0)
    torch.testing.assert_close(seen.double(), expected, rtol=0, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("thin", [0.0, 2.0**-30])
def test_a_box_without_width_has_finite_numbers(thin: float):
    rows = packed(Picture(boxes=((0.4, 0.2, 0.4 + 1e-9, 0.8),), occluders=None))
    rows.box_N4[0, 2] = rows.box_N4[0, 0] + thin
    assert field()(random_texts([Picture(boxes=BOXES[:1])]), rows).isfinite().all()
