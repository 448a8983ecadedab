"""Layout blocks, packed, against the loop twin in fp64: outputs, gradients, and the parts before them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from occlusionformer.model.backbones.flux import DualBlock, SingleBlock
from tests.model.tiny import (
    BOXES,
    CHAIN,
    EMPTY,
    GRID,
    LOOP,
    Model,
    Picture,
    begin,
    only,
    prepare,
    presets,
    random_inputs,
    random_texts,
    tiny_backbone,
    tiny_branch,
    twin_inputs,
    twin_layout,
    twin_weights,
)
from tests.reference import blocks
from tests.reference.embedding import layout_token
from tests.reference.model import build_scene
from tests.tables import for_each

EXACT = {"rtol": 0, "atol": 1e-11}
"""fp64; values of order ten after a feed-forward, a few thousand additions."""

WHOLE = (0.01, 0.01, 0.99, 0.99)
SPECK = (0.71, 0.61, 0.72, 0.62)
CROWD = Picture(
    boxes=(WHOLE, *BOXES, (0.1, 0.0, 1.0, 0.9), (0.0, 0.1, 0.9, 1.0)),
    occluders=tuple(tuple(range(i)) for i in range(6)),
)
"""Many pairs at every pixel."""
BATCHES = {
    "chain": [Picture()],
    "loop": [Picture(occluders=LOOP)],
    "no order": [Picture(occluders=None)],
    "order without relations": [Picture(occluders=((), (), ()))],
    "a single token": [Picture(boxes=(SPECK,), occluders=((),))],
    "crowd": [CROWD],
    "mixed batch": [Picture(), EMPTY, Picture(boxes=(SPECK, WHOLE), occluders=None), Picture(occluders=LOOP)],
}
PRESETS = presets()

by_preset = pytest.mark.parametrize("preset", list(PRESETS))


class Both:
    """One layout block, ready to be run by the package and by the twin on the same tensors."""

    def __init__(self, preset: str, pictures: list[Picture], *, single: bool, strength: float = 1.0) -> None:
        config, rules = PRESETS[preset]
        self.single, self.strength = single, strength
        self.rules = replace(rules, strength=strength)
        self.backbone = tiny_backbone().double()
        self.branch = tiny_branch(config).double()
        self.model = Model(self.backbone, self.branch)
        self.pictures, self.texts_NP = pictures, random_texts(pictures)
        self.inputs = random_inputs(len(pictures))
        generator = torch.Generator().manual_seed(5)
        shape = (len(pictures), GRID.num_tokens, config.width)
        self.image_BLD = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    def packed(self) -> list[Tensor]:
        """Image (B, L, D), layout tokens (N, D), mask logits (N, L, 2) if any."""
        condition = prepare(self.pictures, self.texts_NP, self.branch.shape)
        state = begin(self.model, self.inputs, condition, self.strength)
        if self.single:
            borrowed = SingleBlock(0, self.backbone.single_transformer_blocks[0]).borrowed
            block = self.branch.single["0"]
        else:
            borrowed, block = DualBlock(0, self.backbone.transformer_blocks[0]).borrowed, self.branch.dual["0"]
        output = block(borrowed, self.image_BLD, state.tokens.before(0), state.step)
        return [output.image, output.tokens, *([] if output.mask_logits is None else [output.mask_logits])]

    def twin(self) -> list[Tensor]:
        """The same from the loops, sample after sample."""
        weights = twin_weights(self.backbone, self.branch)
        function = blocks.single_block if self.single else blocks.dual_block
        name = "single_transformer_blocks.0" if self.single else "transformer_blocks.0"
        images, tokens, masks, first = [], [], [], 0
        for sample, picture in enumerate(self.pictures):
            count = len(picture.boxes)
            texts_NP, first = self.texts_NP[first : first + count], first + count
            if count == 0:
                images.append(self.image_BLD[sample])
                continue
            layout = twin_layout(picture, texts_NP, self.rules)
            scene = build_scene(self.backbone, twin_inputs(only(self.inputs, sample)), layout)
            layout_ND = torch.stack([layout_token(weights, t, b) for t, b in zip(texts_NP, picture.boxes, strict=True)])
            image_LD, layout_ND, mask_NL2 = function(weights, name, self.image_BLD[sample], layout_ND, scene)
            images.append(image_LD)
            tokens.append(layout_ND)
            masks += [] if mask_NL2 is None else [mask_NL2]
        return [torch.stack(images), torch.cat(tokens), *([torch.cat(masks)] if masks else [])]

    def leaves(self) -> list[Tensor]:
        return [self.image_BLD, *self.branch.parameters(), *self.backbone.parameters()]


@by_preset
@for_each("single", [False, True], ids=["dual", "single"])
@for_each("batch", list(BATCHES))
def test_block_is_the_twins(preset, single, batch):
    both = Both(preset, BATCHES[batch], single=single)
    with torch.no_grad():
        for actual, expected in zip(both.packed(), both.twin(), strict=True):
            torch.testing.assert_close(actual, expected, **EXACT)


@by_preset
@for_each("single", [False, True], ids=["dual", "single"])
def test_half_strength_is_the_twins(preset, single):
    both = Both(preset, BATCHES["chain"], single=single, strength=0.37)
    with torch.no_grad():
        for actual, expected in zip(both.packed(), both.twin(), strict=True):
            torch.testing.assert_close(actual, expected, **EXACT)


@by_preset
@for_each("single", [False, True], ids=["dual", "single"])
def test_opacities_are_the_twins(preset, single):
    pictures = [Picture(opacities=(0.25, 1.0, 0.6))]
    both = Both(preset, pictures, single=single)
    with torch.no_grad():
        for actual, expected in zip(both.packed(), both.twin(), strict=True):
            torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


@by_preset
@for_each("single", [False, True], ids=["dual", "single"])
@for_each("batch", ["crowd", "mixed batch"])
def test_gradients_of_every_weight_are_the_twins(preset, single, batch):
    both = Both(preset, BATCHES[batch], single=single)
    found = []
    for function in (both.packed, both.twin):
        outputs = function()
        generator = torch.Generator().manual_seed(6)
        cotangents = [torch.randn(o.shape, generator=generator, dtype=o.dtype) for o in outputs]
        found.append(torch.autograd.grad(outputs, both.leaves(), cotangents, allow_unused=True))
    reached = 0
    for actual, expected in zip(*found, strict=True):
        zero = torch.zeros(())
        if actual is not None and expected is not None:
            assert actual.isfinite().all()
            torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
            reached += 1
        else:
            assert all(g is None or bool((g == zero).all()) for g in (actual, expected))
    assert reached > 20


@by_preset
def test_layout_tokens_and_time_embeddings_are_the_twins(preset):
    both = Both(preset, BATCHES["mixed batch"], single=False)
    state = begin(both.model, both.inputs, prepare(both.pictures, both.texts_NP, both.branch.shape))
    weights = twin_weights(both.backbone, both.branch)
    boxes = [box for picture in both.pictures for box in picture.boxes]
    expected = [layout_token(weights, text, box) for text, box in zip(both.texts_NP, boxes, strict=True)]
    torch.testing.assert_close(state.tokens.before(0), torch.stack(expected), **EXACT)
    first = 0
    for sample, picture in enumerate(both.pictures):
        if not picture.boxes:
            continue
        last = first + len(picture.boxes)
        layout = twin_layout(picture, both.texts_NP[first:last], both.rules)
        scene = build_scene(both.backbone, twin_inputs(only(both.inputs, sample)), layout)
        torch.testing.assert_close(state.step.time_BD[sample], scene.branch_time_D, **EXACT)
        torch.testing.assert_close(state.step.time_ND[first:last], scene.instance_time_ND, **EXACT)
        first = last


def test_the_second_norm_of_the_layout_token_changes_the_result():
    config, rules = PRESETS["published"]
    both = Both("published", [Picture(occluders=CHAIN)], single=False)
    both.branch = tiny_branch(replace(config, double_qk_norm=False)).double()
    both.model = Model(both.backbone, both.branch)
    with torch.no_grad():
        once, twice = both.packed()[0], both.twin()[0]
        assert (once - twice).abs().max() > 1e-4
        both.rules = replace(rules, double_norm=False)
        torch.testing.assert_close(once, both.twin()[0], **EXACT)
