"""A new branch of the embedded model starts from the pictures that its text table makes of the same texts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from occlusionformer.embedded.config import branch_config
from occlusionformer.embedded.text import StaticTextModel, packaged_reader, packaged_text_model
from occlusionformer.model.appearance import SAMPLES, AppearanceField
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.training import SettingsError, override, recipe
from occlusionformer.training.appearance import copy_appearance
from occlusionformer.training.build import build_pipeline
from tests.model.tiny import Picture, prepare

CONFIG = branch_config()
TEXTS = ("a blue vase", "cat", "a red sports car")


def test_a_field_starts_from_the_tables_pictures():
    """A box over 8 x 8 tokens of 4 samples a side has 32 x 32 places, as many as the picture has pixels."""
    table = packaged_text_model()
    field = AppearanceField(CONFIG).requires_grad_(False)
    copy_appearance(field, table)
    text_NP, grid = packaged_reader()(TEXTS), TokenGrid(8, 8)
    whole = [Picture(boxes=((0.0, 0.0, 1.0, 1.0),), occluders=None)] * len(TEXTS)
    packed = prepare(whole, text_NP, CONFIG, grid=grid, dtype=torch.float32).condition.packed
    seen = field(text_NP, packed).view(len(TEXTS), 8, 8, SAMPLES, SAMPLES, 4)
    seen = seen.permute(0, 1, 3, 2, 4, 5).reshape(len(TEXTS), 32, 32, 4)
    for picture, text_P in zip(seen, text_NP, strict=True):
        patches = table.look(text_P) @ table.look_axes
        for place, patch in enumerate(patches.view(16, 4, 8, 8)):
            row, column = 8 * (place // 4), 8 * (place % 4)
            found = picture[row : row + 8, column : column + 8].permute(2, 0, 1)
            torch.testing.assert_close(found, patch, rtol=0, atol=2e-3)


def test_a_new_model_starts_from_them_and_one_without_own_modulation_has_none():
    config = recipe("embedded")
    branch = build_pipeline(config).branch
    table = packaged_text_model()
    assert torch.equal(branch.appearance.text_in.weight, table.look_in.weight)
    assert torch.equal(branch.appearance.text_out.bias, table.look_mid.bias)
    assert all(parameter.requires_grad for parameter in branch.appearance.parameters())
    method = config.model.method.model_copy(update={"instance_modulation": False})
    plain = build_pipeline(
        config.model_copy(update={"model": config.model.model_copy(update={"method": method})})
    ).branch
    assert (plain.appearance, plain.shape.appearance_side) == (None, 0)


def test_it_can_be_left_out_alone():
    branch = build_pipeline(override(recipe("embedded"), ["model.method.appearance=false"])).branch
    assert (branch.appearance, branch.shape.appearance_side) == (None, 0)
    assert branch.shape.instance_modulation
    assert branch.shape.box_coordinates
    with pytest.raises(SettingsError, match=r"model\.method\.occlusionformer\.appearance: expected False, got true"):
        override(recipe("embedded"), ["model.method.appearance=true"])


def test_a_table_that_does_not_fit_is_refused():
    field = AppearanceField(replace(CONFIG, appearance_side=16))
    with pytest.raises(ValueError, match="expected looks of 256 pixels, got 1024"):
        copy_appearance(field, packaged_text_model())
    with pytest.raises(ValueError, match="expected looks of 256 pixels, got 0"):
        copy_appearance(field, StaticTextModel())
