"""Heads that begin by attending to the text that lies in their own place."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb
from safetensors.torch import save_file

from occlusionformer.embedded.config import backbone_settings, look_places
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.model import LayoutFluxTransformer2DModel
from occlusionformer.tensors.files import read_tensors
from occlusionformer.training import recipe
from occlusionformer.training.build import build_pipeline
from occlusionformer.training.in_place import HEADS, attend_in_place
from occlusionformer.training.overrides import SettingsError, override

SIDE = 8


@torch.no_grad()
def attention_of(transformer: LayoutFluxTransformer2DModel, head: int) -> torch.Tensor:
    """Of image tokens to text tokens in the same places, (L, 2 L) over text and image, whatever these say."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    ids = torch.stack([torch.zeros(SIDE**2), row.flatten(), column.flatten()], 1)
    rotary = transformer.pos_embed(ids)
    attn, width = transformer.transformer_blocks[0].attn, transformer.inner_dim
    text_LD, image_LD = torch.randn(2, SIDE**2, width).unbind(0)

    def heads(layer: torch.nn.Module, norm: torch.nn.Module, x_LD: torch.Tensor) -> torch.Tensor:
        return apply_rotary_emb(norm(layer(x_LD).unflatten(1, (-1, 64)))[None], rotary, sequence_dim=1)[0, :, head]

    query_LE = heads(attn.to_q, attn.norm_q, image_LD)
    key_LE = torch.cat([heads(attn.add_k_proj, attn.norm_added_k, text_LD), heads(attn.to_k, attn.norm_k, image_LD)])
    return torch.softmax(query_LE @ key_LE.T / 8, dim=1)


def test_an_image_token_attends_most_to_the_text_in_its_place():
    torch.manual_seed(0)
    transformer = LayoutFluxTransformer2DModel(**backbone_settings(looks_placed=True))
    before = attention_of(transformer, 0)
    others = transformer.transformer_blocks[0].attn.to_q.weight[HEADS * 64 :].clone()
    attend_in_place(transformer)
    for head in range(HEADS):
        share = attention_of(transformer, head)
        assert share[:, : SIDE**2].argmax(1).tolist() == list(range(SIDE**2))
        assert share[:, : SIDE**2].sum(1).min() > 0.75
        assert share.diagonal().min() > 0.1 > 3 * before.diagonal().mean()
    assert torch.equal(transformer.transformer_blocks[0].attn.to_q.weight[HEADS * 64 :], others)


def test_weights_that_are_not_trained_cannot_learn_it(tmp_path):
    tensors, said = read_tensors(EMBEDDED.weights / "backbone.safetensors")
    assert said["looks"] == "placed"
    save_file(tensors, tmp_path / "backbone.safetensors")
    lines = [f"model.init_from={tmp_path}", "model.init_parts=backbone", "model.train_backbone=false"]
    with pytest.raises(SettingsError, match=r"model\.init_from: looks_placed: expected false for the weights in "):
        build_pipeline(override(recipe("embedded"), ["model.looks_placed=true", *lines]))


def test_weights_that_know_it_are_not_loaded_without():
    lines = ["model.looks_placed=false", "model.init_from=packaged"]
    with pytest.raises(SettingsError, match=r"model\.init_from: looks_placed: expected true for the weights in "):
        build_pipeline(override(recipe("embedded"), lines))


def test_the_packaged_weights_are_trained_on_by_their_recipe():
    assert build_pipeline(recipe("embedded-finetune")).transformer.config.text_places == look_places()


def test_a_model_without_looks_has_no_places_for_them():
    with pytest.raises(SettingsError, match="looks_placed: expected false for family tiny, got true"):
        override(recipe("overfit"), ["model.looks_placed=true"])
