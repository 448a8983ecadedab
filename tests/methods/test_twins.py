"""Every rival method agrees with a loop written from its equations, in float64; tests/model does so for the branch."""

from __future__ import annotations

import pytest
import torch

from tests.methods.zoo import METHODS, arguments, method, prepared, run, texts, transformer
from tests.model.tiny import BOXES, CHAIN, GRID, Picture
from tests.reference.flux import Pieces, forward, open_backbone
from tests.reference.model import Inputs
from tests.reference.regions import covered_tokens
from tests.reference.rivals import TWINS

SCENE = Picture(boxes=BOXES, occluders=CHAIN)
FP32_TURNS = 1e-6
"""Bound of differences: diffusers turns queries and keys in float32 whatever their format."""
SIZE = (GRID.height, GRID.width)


def inputs() -> Inputs:
    return Inputs(**arguments(1))


@torch.no_grad()
def test_the_twin_of_the_backbone_is_the_backbone():
    model = transformer()
    backbone = open_backbone(model)
    expected = run(model, None, arguments(1))[0]
    torch.testing.assert_close(forward(backbone, inputs(), Pieces(backbone.linear)), expected, rtol=0, atol=FP32_TURNS)


@pytest.mark.parametrize("name", [name for name in METHODS if name.split(",")[0] in TWINS])
@torch.no_grad()
def test_a_method_is_its_equations(name):
    model, built, words = transformer(), method(name), texts(3)
    kind, config = name.split(",")[0], built.config
    weights, boxes = dict(built.state_dict()), list(BOXES)
    given = {
        "creatilayout": lambda: {
            "texts_NGE": words.sequence_NSE[:, : config.instance_tokens], "grid": SIZE,
            "null_slots": config.null_slots, "fixed_ids": config.fixed_ids,
        },
        "gligen": lambda: {
            "texts_NP": words.pooled_NP, "grid": SIZE, "heads": config.num_heads, "null_slots": config.null_slots,
            "rotary": config.rotary,
        },
        "eligen": lambda: {"texts_NGE": words.sequence_NSE},
        "larender": lambda: {
            "texts_NGE": words.sequence_NSE, "grid": SIZE, "alpha": config.alpha, "schedule": config.schedule,
            "steps": config.steps, "map_minimum": config.map_minimum, "occluders": [list(row) for row in CHAIN],
        },
    }[kind]()  # fmt: skip
    if kind == "eligen":
        layout = prepared(built, [SCENE], words=words)
        covers = [row.nonzero().flatten().tolist() for row in layout.condition.covers_BKL[0]]
        if config.rasteriser == "area":
            assert covers == [sorted(covered_tokens(box, *SIZE)) for box in boxes]
        given["covers"] = covers
    else:
        given["boxes"] = boxes
    if kind != "larender":
        given["weights"] = weights
    expected = TWINS[kind](open_backbone(model), inputs=inputs(), **given)
    actual = run(model, prepared(built, [SCENE], words=words), arguments(1))[0]
    torch.testing.assert_close(actual, expected, rtol=0, atol=FP32_TURNS)
