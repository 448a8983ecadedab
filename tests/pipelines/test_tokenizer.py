"""The tokenizer that does without transformers reads what that of transformers reads."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.pipelines.tokenizer import MOST_TOKENS, PlainTokenizer
from occlusionformer.tensors.files import CheckpointError

WORDS = ("apple", "Red", "don't", "[PAD]", "[UNK]", "zzqqxx", "é", "漢字", "\U0001f600", "\t", ",", "##s", "dog " * 90)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join),
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "padding": st.sampled_from([False, True, "longest", "max_length", "do_not_pad"]),
        "truncation": st.sampled_from([None, False, True]),
        "max_length": st.integers(0, 90),
        "add_special_tokens": st.booleans(),
    },
)
AS_FLUX = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}


@pytest.fixture(scope="module")
def packaged() -> PlainTokenizer:
    return PlainTokenizer.from_pretrained(EMBEDDED.text)


@pytest.fixture(scope="module")
def both(packaged) -> tuple[PlainTokenizer, PreTrainedTokenizerFast]:
    return packaged, PreTrainedTokenizerFast.from_pretrained(EMBEDDED.text)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), call=CALLS)
def test_texts_are_read_alike(both, texts, call):
    ours, theirs = (tokenizer(texts, verbose=False, **call) for tokenizer in both)
    assert dict(ours) == {name: theirs[name] for name in ("input_ids", "attention_mask")}
    assert ours.input_ids == ours["input_ids"]
    one, other = (tokenizer(texts[0], verbose=False, **call) for tokenizer in both)
    assert (one.input_ids, one.attention_mask) == (other.input_ids, other.attention_mask)
    if call.get("padding") in (True, "longest"):
        rectangle = [tokenizer(texts, verbose=False, return_tensors="pt", **call) for tokenizer in both]
        for name in ("input_ids", "attention_mask"):
            ours_BS, theirs_BS = (found[name] for found in rectangle)
            assert ours_BS.shape == theirs_BS.shape
            assert torch.equal(ours_BS, theirs_BS.to(torch.int64))  # of texts of nothing theirs are floats


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_tokens_are_written_alike(both, texts):
    ours, theirs = both
    for text in texts:
        assert ours.tokenize(text) == theirs.tokenize(text)
    ids_BS = theirs(texts, padding=True, return_tensors="pt", verbose=False).input_ids.to(torch.int64)
    for skipped in (False, True):
        assert ours.batch_decode(ids_BS, skip_special_tokens=skipped) == theirs.batch_decode(
            ids_BS, skip_special_tokens=skipped
        )
    assert ours.convert_ids_to_tokens(ids_BS[0]) == theirs.convert_ids_to_tokens(ids_BS[0].tolist())


def test_what_it_says_of_itself_is_the_same(both):
    ours, theirs = both
    for name in ("model_max_length", "pad_token_id", "unk_token_id", "added_tokens_encoder"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert len(ours) == len(theirs)


def test_no_texts_are_a_tensor_of_no_rows(packaged):
    read = packaged([], **AS_FLUX)
    assert read.input_ids.shape == read.attention_mask.shape == (0, 77)
    assert read.input_ids.dtype == torch.int64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            {"padding": "left"},
            "padding: expected one of False, True, 'longest', 'max_length', 'do_not_pad', got 'left'",
        ),
        ({"truncation": "do_not_truncate"}, "truncation: expected one of None, False, True, got 'do_not_truncate'"),
        ({"return_length": True}, "return_length: expected one of False, got True"),
        ({"return_overflowing_tokens": True}, "return_overflowing_tokens: expected one of False, got True"),
        ({"return_tensors": "np"}, "return_tensors: expected one of None, 'pt', got 'np'"),
        ({"return_tensors": "pt"}, "expected sequence of length 1 at dim 1"),
    ],
)
def test_what_it_cannot_do_is_refused(packaged, call, message):
    with pytest.raises(ValueError, match=message):
        packaged(["a", "a dog"], **call)


def test_numbers_of_no_token_are_refused(packaged):
    beyond = len(packaged)
    with pytest.raises(ValueError, match=f"ids: expected numbers below {beyond}, got {beyond}"):
        packaged.convert_ids_to_tokens([3, beyond])


def test_what_it_saves_it_and_transformers_load(both, tmp_path):
    ours, theirs = both
    ours.save_pretrained(tmp_path / "first")
    again = PlainTokenizer.from_pretrained(tmp_path, subfolder="first", torch_dtype=None, variant=None)
    again.save_pretrained(tmp_path / "second")
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    text = "A puppy's [PAD] toy!"
    for loaded in (again, AutoTokenizer.from_pretrained(tmp_path / "first"), pickle.loads(pickle.dumps(ours))):
        assert loaded(text, **AS_FLUX).input_ids.tolist() == theirs(text, **AS_FLUX).input_ids.tolist()


def damaged(folder: Path, **settings: object) -> Path:
    PlainTokenizer.from_pretrained(EMBEDDED.text).save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_max_length": 10**30}, f"model_max_length: expected a whole number of 1 to {MOST_TOKENS}, got 1000"),
        ({"model_max_length": True}, "model_max_length: expected a whole number"),
        ({"model_max_length": None}, "model_max_length: expected a whole number"),
        ({"pad_token": "<pad>"}, "pad_token: expected a token of tokenizer.json, got <pad>"),
        ({"unk_token": 1}, "unk_token: expected a token of tokenizer.json, got 1"),
    ],
)
def test_damaged_settings_are_told(settings, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        PlainTokenizer.from_pretrained(damaged(tmp_path, **settings))


@pytest.mark.parametrize("text", ["", "{}", "{", '{"model": 3}', '{"model": {"type": "WordPiece"}}'])
def test_damaged_rules_are_told(text, tmp_path):
    (damaged(tmp_path) / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: "):
        PlainTokenizer.from_pretrained(tmp_path)


def test_missing_files_are_told(tmp_path):
    (damaged(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(OSError, match=r"tokenizer\.json"):
        PlainTokenizer.from_pretrained(tmp_path)


def test_threads_may_share_one(packaged):
    calls = [{"max_length": length, **AS_FLUX} for length in range(1, 65)] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda call: packaged(["a dog and a cat"], **call), calls))
    assert [read.input_ids.shape[1] for read in found] == [call["max_length"] for call in calls]
    assert all(
        torch.equal(read.input_ids, packaged(["a dog and a cat"], **c).input_ids)
        for read, c in zip(found, calls, strict=True)
    )


def test_a_stock_pipeline_saves_and_loads_it(packaged, tmp_path):
    parts = dict.fromkeys(("scheduler", "vae", "text_encoder", "text_encoder_2", "transformer"))
    FluxPipeline(**parts, tokenizer=packaged, tokenizer_2=packaged).save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["tokenizer"] == index["tokenizer_2"] == [PlainTokenizer.__module__, PlainTokenizer.__name__]
    loaded = FluxPipeline.from_pretrained(tmp_path, local_files_only=True, **parts)
    assert loaded.tokenizer("a dog").input_ids == packaged("a dog").input_ids
    assert loaded.tokenizer_max_length == 77
