"""Rows of the text that lie in the picture: their ids, and what these do to a transformer."""

from __future__ import annotations

import torch

from occlusionformer.embedded.build import assembled, packaged_codec
from occlusionformer.embedded.config import backbone_settings, look_places
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import packaged_text_model
from occlusionformer.methods.none import NoLayout
from occlusionformer.model.backbones.flux_transformer import LayoutFluxTransformer2DModel
from occlusionformer.model.backbones.text_places import placed_ids
from tests.model.seam import arguments
from tests.model.tiny import tiny_backbone


def canvas_ids(height: int, width: int) -> torch.Tensor:
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros(height * width), row.flatten(), column.flatten()], 1)


def test_patches_lie_at_the_middles_of_what_they_show():
    found = placed_ids(torch.zeros(8, 3), canvas_ids(4, 8), [(3, 2, 0.25, 0.5, 1.0)])
    assert not found[[0, 1, 2, 7]].any()
    # Four tokens a side around column 1.5 and row 1.5: halves are two tokens wide.
    assert found[3:7].tolist() == [[0, 0.5, 0.5], [0, 0.5, 2.5], [0, 2.5, 0.5], [0, 2.5, 2.5]]


def test_a_short_text_has_the_rows_that_it_has_and_no_places_change_nothing():
    ids = torch.zeros(4, 3)
    assert placed_ids(ids, canvas_ids(4, 4), [(2, 2, 0.5, 0.5, 1.0), (6, 2, 0.5, 0.5, 1.0)])[:, 1].tolist() == [
        0,
        0,
        0.5,
        0.5,
    ]
    assert placed_ids(ids, canvas_ids(4, 4), ()) is ids


def test_the_ids_of_a_text_are_left_as_they_were():
    ids = torch.zeros(8, 3)
    placed_ids(ids, canvas_ids(4, 4), [(0, 2, 0.5, 0.5, 1.0)])
    assert not ids.any()


@torch.no_grad()
def test_a_transformer_places_them_and_adopted_ones_of_stock_have_none():
    ours = LayoutFluxTransformer2DModel.adopt(tiny_backbone())
    given = arguments()
    plain = ours(**given).sample
    ours.register_to_config(text_places=[(0, 1, 0.5, 0.5, 1.0)])
    moved = ours(**given).sample
    assert not torch.equal(plain, moved)
    ids = placed_ids(given["txt_ids"], given["img_ids"], ours.config.text_places)
    ours.register_to_config(text_places=())
    assert torch.equal(ours(**(given | {"txt_ids": ids})).sample, moved)


def test_what_three_phrases_look_like_has_places_in_the_packaged_table():
    assert [place[:2] for place in look_places()] == [(24, 4), (40, 4), (56, 4)]
    assert backbone_settings(looks_placed=True)["text_places"] == look_places()
    assert not packaged_text_model().config.look_start
    transformer = LayoutFluxTransformer2DModel(**backbone_settings(looks_placed=True))
    placed = assembled(transformer=transformer, branch=NoLayout(), vae=packaged_codec())
    assert placed.text_encoder.config.look_start == EMBEDDED.look_start
