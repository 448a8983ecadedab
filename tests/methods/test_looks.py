"""Rows of an instance's text that show what it looks like lie over its box, where the backbone reads such rows."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from occlusionformer.methods import looks
from occlusionformer.methods.creatilayout import CreatiLayout
from occlusionformer.methods.eligen import Eligen
from occlusionformer.methods.gligen import Gligen
from occlusionformer.methods.slots import fill_slots
from occlusionformer.model.attention import rotate_batch, rotation
from occlusionformer.model.backbones.flux import turned
from occlusionformer.model.backbones.text_places import box_ids
from occlusionformer.model.method import InstanceTexts
from tests.methods.zoo import (
    METHODS,
    POOLED,
    SHAPE,
    TEXT_WIDTH,
    arguments,
    prepared,
    run,
    texts,
    transformer,
    whole_and_alone,
)
from tests.model.tiny import BOXES, CHAIN, EMPTY, GRID, Picture, randomise

SCENE = Picture(boxes=BOXES, occluders=CHAIN)
PAIR = Picture(boxes=BOXES[1:], occluders=((), (0,)), opacities=(0.7, 1.0))
HEADS = {"num_heads": SHAPE.num_heads, "head_dim": SHAPE.head_dim}
BLOCKS = {"dual_blocks": tuple(range(SHAPE.num_dual)), "single_blocks": tuple(range(SHAPE.num_single))}
READERS = {
    **{name: METHODS[name] for name in METHODS if name.startswith(("creatilayout", "eligen", "larender"))},
    "eligen without a delta": lambda: Eligen(**HEADS, num_dual=SHAPE.num_dual, num_single=SHAPE.num_single, rank=0),
    "gligen": lambda: Gligen(**HEADS, **BLOCKS, pooled_dim=TEXT_WIDTH, token_width=12, looks=True),
}
by_reader = pytest.mark.parametrize("name", list(READERS))


def built(name: str):
    found = READERS[name]().double()
    randomise(found, 7)
    return found.eval()


def placing(places=((1, 1, 0.5, 0.5, 0.4),)):
    """A backbone that reads the second row of a text at a place."""
    model = transformer()
    model.register_to_config(text_places=list(places))
    return model


def words_of(name: str, count: int) -> InstanceTexts:
    found = texts(count)
    if name != "gligen":
        return found
    pooled = torch.randn(count, TEXT_WIDTH, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return replace(found, pooled_NP=pooled)


def test_patches_fill_a_box_row_after_row():
    found = box_ids(torch.tensor([[0.25, 0.5, 0.75, 1.0]]), 2, height=4, width=8)
    # Two tokens high and four wide, from row 2 and column 2 on: a patch is one high and two wide.
    assert found.tolist() == [[[0, 2, 2.5], [0, 2, 4.5], [0, 3, 2.5], [0, 3, 4.5]]]


@by_reader
@torch.no_grad()
def test_a_batch_is_each_picture_alone(name):
    for found, alone in whole_and_alone(placing(), built(name), [SCENE, None, PAIR, EMPTY], words_of(name, 5)):
        torch.testing.assert_close(found, alone, rtol=1e-6, atol=1e-6)


@by_reader
@torch.no_grad()
def test_where_they_lie_matters_and_a_backbone_without_such_rows_is_as_before(name, monkeypatch):
    method, given, words = built(name), arguments(1), words_of(name, 3)
    layout = prepared(method, [SCENE], words=words)
    placed = run(placing(), layout, given)
    plain = run(transformer(), layout, given)
    assert (placed - plain).abs().max() > 1e-4
    somewhere = torch.zeros(3, 1, 3, dtype=torch.float64)
    monkeypatch.setattr(looks, "box_ids", lambda *_: somewhere)
    moved = run(placing(), layout, given)
    assert (placed - moved).abs().max() > 1e-5


@torch.no_grad()
def test_rows_of_padding_stay_so_that_shortened_texts_are_as_whole_ones():
    """Of seven rows two show something; the rest is padding, and so is what one text shows."""
    method = CreatiLayout(**HEADS, **BLOCKS, instance_tokens=7).double()
    randomise(method, 7)
    rows = torch.randn(3, 7, TEXT_WIDTH, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    rows[:, 2:], rows[2, 1:] = 0, 0
    words = InstanceTexts(sequence_NSE=rows)
    short = prepared(method, [SCENE], words=words)
    assert short.texts.sequence_NSE is not None
    assert short.texts.sequence_NSE.shape[1] == 3
    model = placing([(1, 2, 0.5, 0.5, 0.4)])
    expected = run(model, replace(short, texts=words), arguments(1))
    torch.testing.assert_close(run(model, short, arguments(1)), expected, rtol=1e-9, atol=1e-9)


def test_texts_of_other_slots_and_rows_keep_their_ids():
    slots = fill_slots([SCENE.layout(GRID), PAIR.layout(GRID)])
    rows = torch.randn(5, 3, TEXT_WIDTH, dtype=torch.float64)
    rows[4, 1] = 0
    method, seen = built("eligen"), []
    layout = prepared(method, [SCENE, PAIR], words=InstanceTexts(sequence_NSE=rows))
    original = type(method).open

    def open_and_keep(self, given, inputs):
        elsewhere = torch.full((9, 3), -1.0, dtype=torch.float64)
        seen.append(looks.ids_of_texts(elsewhere, rows, slots, GRID, inputs))
        return original(self, given, inputs)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(type(method), "open", open_and_keep)
        run(placing(), layout, arguments(2))
    ids = seen[0].unflatten(1, (3, 3))
    assert (ids[:, :, [0, 2]] == -1).all()
    assert (ids[1, 1:] == -1).all(), "a row of padding, and an empty slot"
    x1, y1, x2, y2 = BOXES[0]
    middle = [0, (y1 + y2) / 2 * GRID.height - 0.5, (x1 + x2) / 2 * GRID.width - 0.5]
    torch.testing.assert_close(ids[0, 0, 1], torch.tensor(middle, dtype=torch.float64))


def test_tables_of_every_picture_turn_it_as_its_own_table_would():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 3, 8, generator=generator, dtype=torch.float64)
    angle = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64).repeat_interleave(2, -1)
    found = turned(x, (angle.cos(), angle.sin()))
    for one, expected in enumerate(found):
        own = (angle[one].cos(), angle[one].sin())
        torch.testing.assert_close(turned(x[one : one + 1], own)[0], expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(rotate_batch(x[one : one + 1], rotation(*own))[0], expected)


def test_a_gligen_that_reads_looks_refuses_pooled_texts_of_another_width():
    method = Gligen(**HEADS, **BLOCKS, pooled_dim=POOLED, token_width=12, looks=True).double()
    with pytest.raises(ValueError, match=f"text sequences: expected a width of {POOLED}, as pooled texts have"):
        prepared(method, [SCENE])


@torch.no_grad()
def test_open_gates_change_nothing_at_first_and_are_open():
    given = arguments(1)
    sizes = {**HEADS, **BLOCKS, "pooled_dim": POOLED, "token_width": 12}
    fresh = [Gligen(**sizes, open_gates=start).double() for start in (False, True)]
    shut, opened = (run(transformer(), prepared(method, [SCENE]), given) for method in fresh)
    assert torch.equal(shut, opened)
    assert [method.figures()["gate"] for method in fresh] == [0.0, pytest.approx(math.tanh(1))]
    fresh[1].dual["0"].attn.to_out[0].bias.fill_(0.5)
    assert not torch.equal(run(transformer(), prepared(fresh[1], [SCENE]), given), opened)
