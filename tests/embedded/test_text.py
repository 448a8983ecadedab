"""The static text encoder: masking, pooling, meaning, and both places in a Flux pipeline."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.captions import training_synonyms
from occlusionformer.embedded.codec import PixelCodec
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import (
    StaticTextModel,
    packaged_text_model,
    packaged_tokenizer,
)
from occlusionformer.pipelines.loading import DTYPE_KEYWORD
from tests.tables import for_each


@pytest.fixture(scope="module")
def model() -> StaticTextModel:
    return packaged_text_model()


@pytest.fixture(scope="module")
def tokenizer():
    return packaged_tokenizer()


def token_ids(tokenizer, texts: list[str], length: int = 77) -> torch.Tensor:
    return tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids


def pooled(model, tokenizer, texts: list[str]) -> torch.Tensor:
    return model(token_ids(tokenizer, texts)).pooler_output


def test_rows_are_the_table_and_padding_is_zero():
    model = blank(known=0, positions=True)
    ids = torch.tensor([[4, 2, 7, 0, 0], [5, 0, 0, 0, 0]])
    hidden = model(ids)[0]
    assert hidden.shape == (2, 5, 6)
    expected = model.table[ids].float() * model.scale[ids]
    place = torch.arange(3)[:, None] / 1e4 ** (torch.arange(3) / 3)
    torch.testing.assert_close(hidden[0, :3], expected[0, :3] + torch.cat([place.sin(), place.cos()], dim=1))
    assert torch.count_nonzero(hidden[0, 3:]) == 0
    assert torch.count_nonzero(hidden[1, 1:]) == 0


def blank(known: int, *, positions: bool = False) -> StaticTextModel:
    """A small random table with as many known phrases."""
    torch.manual_seed(known)
    model = StaticTextModel(vocab_size=9, hidden_size=6, num_known=known, sharpness=4.0, positions=positions)
    model.table.copy_(torch.randint(-127, 128, model.table.shape))
    model.scale.data = torch.rand(9, 1) / 50
    model.weight.data = torch.rand(9, 1) + 0.1
    model.known.data, model.known_as.data = torch.nn.functional.normalize(torch.randn(2, known, 6), dim=-1)
    return model


def weighted_direction(model: StaticTextModel, ids: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(model.config.hidden_size, dtype=torch.float64)
    for token in ids.tolist():
        total += model.table[token].double() * model.scale[token].double() * model.weight[token].double()
    return total / total.norm()


def test_places_tell_the_sequence_what_is_above_and_leave_the_mean_alone():
    out = blank(known=0, positions=True)(torch.tensor([[3, 5, 1, 0], [1, 5, 3, 0]]))
    sorted_rows = out.last_hidden_state.sort(dim=1).values
    assert not torch.allclose(sorted_rows[0], sorted_rows[1], atol=1e-2)
    torch.testing.assert_close(out.pooler_output[0], out.pooler_output[1])


def test_a_model_without_positions_adds_none():
    model = blank(known=0)
    ids = torch.tensor([[3, 5]])
    assert torch.equal(model(ids).last_hidden_state, model.table[ids].float() * model.scale[ids])


def test_pooled_is_the_direction_of_the_weighted_mean_over_real_tokens():
    model = blank(known=0)
    ids = torch.tensor([[3, 5, 1, 0, 0]])
    pooled_D = model(ids).pooler_output[0]
    # float32 sums of three rows against float64.
    torch.testing.assert_close(pooled_D, (weighted_direction(model, ids[0, :3]) * 6**0.5).float())
    assert pooled_D.pow(2).mean().item() == pytest.approx(1.0, abs=1e-5)


def test_known_phrases_express_the_mean_by_their_nearness():
    model = blank(known=4)
    ids = torch.tensor([[3, 5, 1, 0, 0]])
    direction = weighted_direction(model, ids[0, :3])
    total = torch.zeros(6, dtype=torch.float64)
    for phrase, read_as in zip(model.known.double(), model.known_as.double(), strict=True):
        total += torch.exp(4.0 * (phrase @ direction)) * read_as
    expected = (total / total.norm() * 6**0.5).float()
    torch.testing.assert_close(model(ids).pooler_output[0], expected)


def test_a_text_of_padding_alone_pools_to_zero(model, tokenizer):
    assert torch.count_nonzero(model(torch.zeros(2, 3, dtype=torch.long)).pooler_output) == 0


@pytest.mark.parametrize("known", [0, 4])
def test_no_texts_give_no_vectors(known):
    assert blank(known)(torch.zeros(0, 3, dtype=torch.long)).pooler_output.shape == (0, 6)


@pytest.mark.parametrize("length", [4, 16, 512])
def test_padding_changes_nothing(model, tokenizer, length):
    short, padded = token_ids(tokenizer, ["a red apple"], 3), token_ids(tokenizer, ["a red apple"], length)
    torch.testing.assert_close(model(padded).pooler_output, model(short).pooler_output)
    assert torch.equal(model(padded)[0][:, :3], model(short)[0])


def test_batch_equals_singles(model, tokenizer):
    texts = ["a dog", "an elephant in front of a red car", "ufo"]
    singles = torch.cat([pooled(model, tokenizer, [text]) for text in texts])
    assert torch.equal(pooled(model, tokenizer, texts), singles)


def test_mask_derived_from_padding_equals_the_tokenizers_own(model, tokenizer):
    inputs = tokenizer(["a dog", "a large grey elephant"], padding=True, return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask"}
    with_mask, without = model(**inputs), model(inputs.input_ids)
    assert torch.equal(with_mask.pooler_output, without.pooler_output)
    assert torch.equal(with_mask[0], without[0])


def test_output_forms_agree(model, tokenizer):
    ids = token_ids(tokenizer, ["a dog"])
    output = model(ids, output_hidden_states=True)
    hidden, pooler = model(ids, return_dict=False)
    assert torch.equal(output[0], hidden)
    assert torch.equal(output.pooler_output, pooler)
    assert torch.equal(output.hidden_states[0], hidden)
    assert model(ids, output_hidden_states=False).hidden_states is None


@pytest.mark.parametrize("text", ["", "🐶🐶"])
def test_a_text_without_known_words_pools_to_zero(model, tokenizer, text):
    output = model(token_ids(tokenizer, [text]))
    assert torch.equal(output.pooler_output, torch.zeros(1, 256))


def test_tokenizer_adds_no_tokens_and_ignores_case(tokenizer):
    assert tokenizer.convert_ids_to_tokens(tokenizer("A Red Apple").input_ids) == ["a", "red", "apple"]
    assert tokenizer.model_max_length == 77
    assert tokenizer.pad_token_id == 0
    assert len(tokenizer("dog " * 100, truncation=True).input_ids) == 77


def test_any_latin_word_has_pieces(tokenizer):
    for word in ("qwzxv", "antidisestablishmentarianism", "Éclair", "smörgåsbord"):
        assert tokenizer.unk_token_id not in tokenizer(word).input_ids


def test_words_of_packaged_objects_are_known_whole(tokenizer):
    for item in world_art().objects:
        for phrase in (item.name, *training_synonyms(item)):
            pieces = tokenizer.convert_ids_to_tokens(tokenizer(phrase).input_ids)
            long_pieces = [piece for piece in pieces if piece.startswith("##") and len(piece) > 3]
            assert not long_pieces, phrase


@for_each(
    ("text", "expected"),
    [
        ("puppy", "dog"),
        ("automobile", "car"),
        ("bunny", "rabbit"),
        ("kitten", "cat"),
        ("bike", "bicycle"),
        ("donut", "donut"),
        ("tortoise", "turtle"),
        ("aubergine", "eggplant"),
        ("sneakers", "sneaker"),
        ("a loaf", "bread"),
        ("a big yellow cab", "taxi"),
        ("photograph", "camera"),
        ("a red knapsack", "backpack"),
        ("a yellow haversack", "backpack"),
        ("orange gymnastic shoe", "sneaker"),
    ],
)
def test_nearest_object_of_a_word_makes_sense(model, tokenizer, text, expected):
    names = [item.name for item in world_art().objects]
    similarity = pooled(model, tokenizer, names) @ pooled(model, tokenizer, [text])[0]
    assert names[int(similarity.argmax())] == expected


def test_adjectives_and_articles_weigh_less_than_nouns(model, tokenizer):
    def weight(word: str) -> float:
        return float(model.weight[tokenizer(word).input_ids].mean())

    assert max(map(weight, ("a", "red", "orange", "shiny"))) < min(map(weight, ("backpack", "car", "dog", "teapot")))


def test_no_two_objects_have_the_same_vector(model, tokenizer):
    vectors = pooled(model, tokenizer, [item.name for item in world_art().objects]) / 16
    similarity = vectors @ vectors.T
    similarity.fill_diagonal_(-1)
    # "man in a wheelchair" and "wheelchair" 0.947, "ram" and "sheep" 0.826.
    assert similarity.max() < 0.95
    assert (similarity > 0.83).sum() == 2
    assert similarity.mean() < 0.02


def test_saved_equals_loaded(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = StaticTextModel.from_pretrained(tmp_path, local_files_only=True)
    again = type(tokenizer).from_pretrained(tmp_path, local_files_only=True)
    assert torch.equal(loaded.table, model.table)
    assert torch.equal(loaded.scale, model.scale)
    assert torch.equal(loaded.weight, model.weight)
    assert torch.equal(loaded.known, model.known)
    assert torch.equal(loaded.known_as, model.known_as)
    assert loaded.config.positions
    assert loaded.table.dtype == torch.int8
    assert again("a puppy!").input_ids == tokenizer("a puppy!").input_ids


def test_half_precision_keeps_the_integers(tokenizer):
    half = StaticTextModel.from_pretrained(EMBEDDED.text, **{DTYPE_KEYWORD: torch.bfloat16}, local_files_only=True)
    full = packaged_text_model()
    assert half.dtype == torch.bfloat16
    assert torch.equal(half.table, full.table)
    ids = token_ids(tokenizer, ["a red apple", "a blue vase", "a green dragon", "a kitty"])
    # bfloat16 carries eight bits: a relative error of 2**-8 in the scale, in the product and in the result. What is a
    # colour and what a known wording is told by the tokens, whatever the rounding.
    torch.testing.assert_close(half(ids).pooler_output.float(), full(ids).pooler_output, atol=0.03, rtol=0.03)


def test_a_fresh_model_is_blank():
    fresh = StaticTextModel(vocab_size=5, hidden_size=4)
    assert torch.count_nonzero(fresh(torch.tensor([[1, 2]]))[0]) == 0
    with_looks = StaticTextModel(num_looks=4, look_size=12, look_channels=16, hidden_size=32)
    assert torch.count_nonzero(with_looks.look(torch.ones(32))) == 0
    assert not any(parameter.requires_grad for parameter in with_looks.parameters())
    with pytest.raises(ValueError, match=r"look_size \+ num_looks to be look_channels, got 12 \+ 5 and 16"):
        StaticTextModel(num_looks=5, look_size=12, look_channels=16, hidden_size=32)


def test_table_is_small_and_licensed():
    assert sum(path.stat().st_size for path in EMBEDDED.text.iterdir()) < 12_500_000
    assert "Apache License" in (EMBEDDED.text / "LICENSE-all-MiniLM-L6-v2").read_text(encoding="utf-8")
    assert "Princeton University" in (EMBEDDED.text / "LICENSE-WordNet").read_text(encoding="utf-8")
    assert "public domain" in (EMBEDDED.text / "LICENSE-Moby").read_text(encoding="utf-8")
    assert "GloVe" in (EMBEDDED.text / "LICENSE-GloVe").read_text(encoding="utf-8")
    assert json.loads((EMBEDDED.text / "config.json").read_text())["_class_name"] == "StaticTextModel"


@pytest.fixture
def pipeline(model, tokenizer) -> FluxPipeline:
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=768,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=256,
        pooled_projection_dim=256,
        axes_dims_rope=(4, 6, 6),
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=PixelCodec(),
        text_encoder=model,
        tokenizer=tokenizer,
        text_encoder_2=model,
        tokenizer_2=tokenizer,
        transformer=transformer,
    )


def test_flux_pipeline_encodes_prompts_with_it(pipeline, model, tokenizer):
    sequence, pooler, _ = pipeline.encode_prompt(
        ["a dog", "a large grey elephant"], prompt_2=None, max_sequence_length=24
    )
    assert sequence.shape == (2, 24, 256)
    ids = token_ids(tokenizer, ["a dog", "a large grey elephant"], length=24)
    assert torch.equal(sequence, model(ids)[0])
    assert torch.equal(pooler, model(ids).pooler_output)


def test_flux_pipeline_draws_with_the_embedded_parts_and_survives_saving(pipeline, tmp_path):
    def draw(some: FluxPipeline) -> torch.Tensor:
        some.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(3)
        settings = {"height": 64, "width": 48, "num_inference_steps": 2, "max_sequence_length": 16}
        return some("a dog", generator=generator, output_type="pt", **settings).images

    drawn = draw(pipeline)
    assert drawn.shape == (1, 3, 64, 48)
    assert torch.isfinite(drawn).all()
    pipeline.save_pretrained(tmp_path)
    loaded = FluxPipeline.from_pretrained(tmp_path, local_files_only=True)
    for before, after in zip(pipeline.encode_prompt("a dog", None), loaded.encode_prompt("a dog", None), strict=True):
        # Weights mapped from a file are aligned differently, which picks other matrix kernels: 2e-7 seen.
        torch.testing.assert_close(before, after, atol=1e-5, rtol=0)
    torch.testing.assert_close(draw(loaded), drawn, atol=1e-5, rtol=0)
