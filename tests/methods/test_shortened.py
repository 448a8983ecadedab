"""Equal rows at the end of all captions are read as one that stands for them, and nothing comes out differently."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from occlusionformer.methods.creatilayout import CreatiLayout
from occlusionformer.methods.eligen import Eligen
from occlusionformer.methods.slots import logits_of
from occlusionformer.model.method import InstanceTexts, Method, PreparedLayouts
from tests.methods.zoo import METHODS, SHAPE, TEXT_WIDTH, arguments, prepared, run, transformer
from tests.model.tiny import BOXES, CHAIN, Picture, randomise
from tests.tables import for_each

SCENE = Picture(boxes=BOXES, occluders=CHAIN)
PAIR = Picture(boxes=BOXES[1:], occluders=((), (0,)))
BLOCKS = {"dual_blocks": tuple(range(SHAPE.num_dual)), "single_blocks": tuple(range(SHAPE.num_single))}
READERS = [name for name in METHODS if METHODS[name]().texts.shortened]
TOKENS, OWN = 7, 3
"""Rows of a sequence, and how many of them are not padding in the longest."""


def built(name: str) -> Method:
    """A method that reads all the tokens there are, with random weights of ordinary size."""
    found = METHODS[name]()
    if isinstance(found, CreatiLayout):
        places = {key: found.config[key] for key in ("null_slots", "fixed_ids")}
        heads = {"num_heads": SHAPE.num_heads, "head_dim": SHAPE.head_dim}
        found = CreatiLayout(**heads, **BLOCKS, **places, instance_tokens=TOKENS)
    found = found.double()
    randomise(found, 7)
    return found


def padded(count: int) -> InstanceTexts:
    """Captions of one to OWN tokens, and the same padding behind each."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(count, TOKENS, TEXT_WIDTH, generator=generator, dtype=torch.float64)
    padding = torch.randn(TEXT_WIDTH, generator=generator, dtype=torch.float64)
    for index in range(count):
        rows[index, OWN - index % OWN :] = padding
    return InstanceTexts(sequence_NSE=rows)


def both(method: Method, **changes) -> tuple[PreparedLayouts, PreparedLayouts, InstanceTexts]:
    """Layouts of a batch with shortened texts and with whole ones, and the whole ones."""
    words = padded(5)
    short = prepared(method, [SCENE, None, PAIR], words=words, **changes)
    return short, replace(short, texts=words), words


def test_the_methods_that_attend_to_captions_are_those_that_read_shortened_ones():
    assert {type(METHODS[name]()) for name in READERS} == {CreatiLayout, Eligen}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_outputs_and_gradients_are_those_of_whole_captions(name, strength):
    model, method, given = transformer(), built(name), arguments(3)
    short, whole, words = both(method, strength=strength)
    assert words.sequence_NSE is not None
    assert short.texts.sequence_NSE is not None
    assert short.texts.sequence_NSE.shape == (5, OWN + 1, TEXT_WIDTH)
    assert short.texts.last_stands_for == TOKENS - OWN
    results = []
    for layout in (short, whole):
        method.zero_grad()
        sample = run(model, layout, given)
        sample.square().sum().backward()
        results.append({"sample": sample, **{key: p.grad for key, p in method.named_parameters()}})
    found, expected = results
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-8, atol=1e-8, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", [name for name in READERS if METHODS[name]().negative == "null"])
@torch.no_grad()
def test_the_negative_half_is_that_of_whole_captions(name):
    model, method, given = transformer(), built(name), arguments(3)
    short, whole, _ = both(method)
    with model.cache_context("uncond"):
        torch.testing.assert_close(run(model, short, given), run(model, whole, given), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", READERS)
@torch.no_grad()
def test_shortened_captions_can_be_repeated(name):
    model, method = transformer(), built(name)
    short, _, _ = both(method)
    again = short.repeat(2)
    assert again.texts.last_stands_for == short.texts.last_stands_for
    once, given = arguments(3), {}
    for key, value in once.items():
        given[key] = value if key in ("img_ids", "txt_ids") else value.repeat_interleave(2, 0)
    expected = run(model, short, once).repeat_interleave(2, 0)
    torch.testing.assert_close(run(model, again, given), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_of_more_tokens_than_a_method_reads_the_padding_behind_counts_for_nothing():
    words = padded(3)
    assert words.sequence_NSE is not None
    longer = torch.cat([words.sequence_NSE, words.sequence_NSE[:, -1:].expand(-1, 4, -1)], 1)
    model, method, given = transformer(), built("creatilayout"), arguments(1)
    samples = [
        run(model, prepared(method, [SCENE], words=InstanceTexts(sequence_NSE=rows)), given)
        for rows in (words.sequence_NSE, longer)
    ]
    torch.testing.assert_close(*samples, rtol=1e-9, atol=1e-9)


def rows_of(*numbers: list[float]) -> Tensor:
    return torch.tensor(numbers)[:, :, None]


@for_each(
    "sequence_NSE, kept, stands_for",
    [
        (rows_of([1, 2, 2, 2]), 2, 3),
        (rows_of([1, 2, 2, 2], [1, 3, 0, 0]), 3, 2),
        (rows_of([1, 2, 2, 2], [1, 3, 0, 1]), 4, 1),
        (rows_of([2, 1, 2], [2, 1, 2]), 3, 1),
        (rows_of([0, 0]), 1, 2),
        (rows_of([float("nan")] * 2), 2, 1),
        (torch.zeros(0, 4, 2), 4, 1),
        (torch.zeros(2, 1, 2), 1, 1),
    ],
)
def test_what_is_left_out_is_what_all_captions_end_with(sequence_NSE, kept, stands_for):
    short = InstanceTexts(sequence_NSE=sequence_NSE).shortened()
    for texts in (
        short,
        short.shortened(),
        short.to("cpu", torch.float64),
        short.rows(torch.arange(len(sequence_NSE))),
    ):
        assert texts.sequence_NSE is not None
        assert texts.sequence_NSE.shape[1] == kept
        assert texts.last_stands_for == stands_for


def test_pooled_texts_have_nothing_to_shorten():
    texts = InstanceTexts(pooled_NP=torch.ones(2, 3))
    assert texts.shortened() is texts


def test_a_weighed_row_is_attended_to_as_so_many_equal_ones():
    logits = torch.tensor([0.3, -1.2, 0.5, 2.0], dtype=torch.float64)
    allowed = torch.tensor([True, True, False, True])
    whole = torch.cat([logits[:1], logits[1:2].expand(5), logits[3:]]).softmax(0)
    short = (logits + logits_of(allowed, 1, 2, 5, logits)).softmax(0)
    torch.testing.assert_close(short, torch.stack([whole[0], whole[1:6].sum(), whole.new_zeros(()), whole[6]]))
